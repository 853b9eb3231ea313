/**
 * Drops psql's meta-commands that newer pg_dumpall minors print (`\restrict`, `\unrestrict`, `\connect`), so
 * that the rest is SQL for any client. In pg_dumpall's role script a line can't begin with a backslash
 * otherwise: names are quoted, and comments on roles are literals whose lines are escaped (E'' strings).
 */
export async function* withoutMetaCommands(source: AsyncIterable<Uint8Array>): AsyncIterable<Buffer> {
  let rest = '';
  const decoder = new TextDecoder('utf-8');
  for await (const chunk of source) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    const kept = lines.filter((line) => !line.startsWith('\\'));
    if (kept.length > 0) yield Buffer.from(`${kept.join('\n')}\n`, 'utf8');
  }
  if (rest !== '' && !rest.startsWith('\\')) yield Buffer.from(rest, 'utf8');
}
