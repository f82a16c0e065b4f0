import type { AuditImage } from '../../store/audit-store.ts';

/** What one image of an event may weigh, in bytes of JSON. */
export const maxImageBytes = 32 * 1_024;

/**
 * An image that weighs at most `maxImageBytes`: its largest members are left
 * out, each with a note of what it weighed, until the rest fits.
 */
export function boundedImage(image: AuditImage): AuditImage {
  // A UTF-16 unit takes at most three bytes: small images, which are all but a few, are not measured for this.
  if (JSON.stringify(image).length * 3 <= maxImageBytes) return image;
  const weights = new Map(Object.entries(image).map(([name, member]) => [name, bytesOf({ [name]: member })]));
  const kept: Record<string, unknown> = { ...image };
  const heaviestFirst = [...weights].sort(([, a], [, b]) => b - a);
  let total = bytesOf(image);
  for (const [name, bytes] of heaviestFirst) {
    if (total <= maxImageBytes) break;
    kept[name] = `left out: ${bytes} bytes`;
    total += bytesOf({ [name]: kept[name] }) - bytes;
  }
  return kept;
}

const bytesOf = (value: unknown): number => Buffer.byteLength(JSON.stringify(value));
