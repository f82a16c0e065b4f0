/** The algorithms that JWTs may be signed with. */
export const jwtAlgorithms = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
] as const;

/** One of them. */
export type JwtAlgorithm = (typeof jwtAlgorithms)[number];
