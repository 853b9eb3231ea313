ALTER PUBLICATION :"publication" DROP TABLE ONLY :"schema".:"table";
