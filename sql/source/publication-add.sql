ALTER PUBLICATION :"publication" ADD TABLE ONLY :"schema".:"table";
