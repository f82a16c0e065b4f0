/**
 * The blocks of a kind in a text of PEM, whole from their first to their last line. Throws where one begins and does
 * not end, as in a file that is still being written: whoever took the others would take them for all there are.
 */
export function pemBlocksOf(text: string, label: string, path: string): readonly string[] {
  const [begin, end] = [`-----BEGIN ${label}-----`, `-----END ${label}-----`];
  const blocks = text.match(new RegExp(`${begin}[^-]*${end}`, 'g')) ?? [];
  const begun = text.split(begin).length - 1;
  const lastLine = text.slice(text.lastIndexOf('\n') + 1);
  const isCutInBegin = lastLine !== '' && lastLine !== begin && begin.startsWith(lastLine);
  if (begun !== blocks.length || isCutInBegin) {
    const count = isCutInBegin ? begun + 1 : begun;
    throw new Error(`of ${count} blocks ${label} in ${path} only ${blocks.length} are whole`);
  }
  return blocks;
}
