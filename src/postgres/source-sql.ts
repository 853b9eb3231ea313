import { quoteIdentifier, quoteLiteral } from '../model/identifiers.ts';
import { sqlFile } from './sql-file.ts';

/**
 * A file of sql/source with psql's variables filled in: `:"name"` as an identifier, `:'name'` as a literal. psql itself
 * does the same with `-v name=…`. A variable that is not given is a defect.
 */
export function sourceSql(name: string, variables: Readonly<Record<string, string>> = {}): string {
  return sqlFile(`source/${name}`).replaceAll(/:(["'])(\w+)\1/g, (_, quote: string, variable: string) => {
    const value = variables[variable];
    if (value === undefined) throw new Error(`sql/source/${name}.sql wants ${variable}`);
    return quote === '"' ? quoteIdentifier(value) : quoteLiteral(value).trimStart();
  });
}
