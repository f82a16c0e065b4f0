import XMLBuilder from 'fast-xml-builder';

/** A value that has a place in XML. */
export type XmlValue = string | number | boolean | { readonly [name: string]: XmlValue };

const builder = new XMLBuilder({ ignoreAttributes: true, processEntities: true, suppressEmptyNode: false });

/** Writes an element with its members as elements within it, without a declaration: UTF-8. */
export function xmlElement(name: string, members: { readonly [name: string]: XmlValue }): string {
  return builder.build({ [name]: carried(members) });
}

/** XML 1.0 has no way to write these, escaped or not; half characters are no text at all. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const notInXml = /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/g;

function carried(value: XmlValue): XmlValue {
  if (typeof value === 'string') return value.toWellFormed().replace(notInXml, '\ufffd');
  if (typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, carried(inner)]));
}
