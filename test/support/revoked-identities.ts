/**
 * An authority of callers that revokes: its certificate, two callers and its lists, valid until 2120. The keys guard
 * nothing. Made with `openssl ca`, `-revoke` and `-gencrl`.
 */
import type { Identity } from './identities.ts';

/** The authority that signed both callers and the lists. */
export const revokingAuthority = `-----BEGIN CERTIFICATE-----
MIIBgDCCASagAwIBAgIUa7ZpjgvJ6UiORr061Iaq+bqJBUUwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwScmV2b2tpbmcgYXV0aG9yaXR5MCAXDTIwMDEwMTAwMDAwMFoY
DzIxMjAwMTAxMDAwMDAwWjAdMRswGQYDVQQDDBJyZXZva2luZyBhdXRob3JpdHkw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARwAtdZbCz+pKmJ24lzAgr7ujCTZj1m
RtdxNhWqyX83YodFAjMqgGAHmoVipY0EPI6rGNJMIUYIS6K1S9u0coLao0IwQDAP
BgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQUhCrfB/1+
S3CDCnm5FJc9bhxOmTcwCgYIKoZIzj0EAwIDSAAwRQIgSSmAkzKnCDEBgikQ4FR+
AA+PJ/+NL18rj407MN1DRUQCIQCL03WQJ+V/NJKTJBCfIRCp6axmdBJF/lo4BQls
V8AK9g==
-----END CERTIFICATE-----
`;

/** A caller that no list names, with the URI `spiffe://example.org/worker`. */
export const keptCaller: Identity = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBwzCCAWmgAwIBAgIUHwEEFtbAc4yJpgSnbsOg63gEeFUwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwScmV2b2tpbmcgYXV0aG9yaXR5MCAXDTIwMDEwMTAwMDAwMFoY
DzIxMjAwMTAxMDAwMDAwWjAWMRQwEgYDVQQDDAtrZXB0IGNhbGxlcjBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABH0VWavLuBL6ov5ha4UWcV4cFnwOigEze1upfJ+Z
R2EHgOH1j7H5mTtpeS6SCa6aJ5u4tUyJ9JRIvyoYLdHSg7ejgYswgYgwCQYDVR0T
BAIwADATBgNVHSUEDDAKBggrBgEFBQcDAjAmBgNVHREEHzAdhhtzcGlmZmU6Ly9l
eGFtcGxlLm9yZy93b3JrZXIwHQYDVR0OBBYEFOL6qgkVc28Z94h08lk17fbJW/su
MB8GA1UdIwQYMBaAFIQq3wf9fktwgwp5uRSXPW4cTpk3MAoGCCqGSM49BAMCA0gA
MEUCIBJdXdivu1PWc/oB79ht4aaJsGfQq0OY54W7QchsaGnVAiEA4ODF8dgTDXyz
gR38NETe6Kf/JGjC/I6JigzCC+ThxaI=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgxd2n+G2gtyK5KYc7
CfVCfsC9MbDVy4S+LOPoYTuEOpGhRANCAAR9FVmry7gS+qL+YWuFFnFeHBZ8DooB
M3tbqXyfmUdhB4Dh9Y+x+Zk7aXkukgmumiebuLVMifSUSL8qGC3R0oO3
-----END PRIVATE KEY-----
`,
};

/** A caller with the same URI that `revocationList` names. */
export const revokedCaller: Identity = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBxTCCAWygAwIBAgIUJuQ2gXwS5wpLep5KqGuvUcvzFUAwCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwScmV2b2tpbmcgYXV0aG9yaXR5MCAXDTIwMDEwMTAwMDAwMFoY
DzIxMjAwMTAxMDAwMDAwWjAZMRcwFQYDVQQDDA5yZXZva2VkIGNhbGxlcjBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABGNYr+ahF+ivK/9aN0DYQR8Wge2IQgHoE//z
HwZ4oo09AXbm768OIroc4rSx8CLQ8WQVGzQgttSru+K9qrz6yGWjgYswgYgwCQYD
VR0TBAIwADATBgNVHSUEDDAKBggrBgEFBQcDAjAmBgNVHREEHzAdhhtzcGlmZmU6
Ly9leGFtcGxlLm9yZy93b3JrZXIwHQYDVR0OBBYEFFypJKzNVsHYuDwbm5WYD6h0
1fUQMB8GA1UdIwQYMBaAFIQq3wf9fktwgwp5uRSXPW4cTpk3MAoGCCqGSM49BAMC
A0cAMEQCIH0BQTBW0canr81YbQi5nJrb8OXq/hQ8g4iUCxgCAywUAiAl5vi8dj5F
SsXR8zgaRZgGI9gqAlOiKc/NlV0S7R1YTQ==
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzC43oCv6G4NdRO77
naqc2LgkYzQof5gGT4axqnsLOEOhRANCAARjWK/moRforyv/WjdA2EEfFoHtiEIB
6BP/8x8GeKKNPQF25u+vDiK6HOK0sfAi0PFkFRs0ILbUq7vivaq8+shl
-----END PRIVATE KEY-----
`,
};

/** The list before anybody was revoked. */
export const emptyRevocationList = `-----BEGIN X509 CRL-----
MIG3MF4CAQEwCgYIKoZIzj0EAwIwHTEbMBkGA1UEAwwScmV2b2tpbmcgYXV0aG9y
aXR5Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFqgDjAMMAoGA1UdFAQD
AgEBMAoGCCqGSM49BAMCA0kAMEYCIQDmMazpINg/K+IY5aQymlCe9KA9DA/ex70N
/RNB8w/PdQIhAOS1xjG7H27pwNicT9jWLMsE8H0FVk1metITScpx5Chx
-----END X509 CRL-----
`;

/** The list that names `revokedCaller`. */
export const revocationList = `-----BEGIN X509 CRL-----
MIHfMIGHAgEBMAoGCCqGSM49BAMCMB0xGzAZBgNVBAMMEnJldm9raW5nIGF1dGhv
cml0eRcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMCcwJQIUJuQ2gXwS
5wpLep5KqGuvUcvzFUAXDTI2MTEyMTE2NDM0N1qgDjAMMAoGA1UdFAQDAgECMAoG
CCqGSM49BAMCA0cAMEQCIEjknV7nGH7J8erPVmnv732Mwl92jMik2ZXshiJa3efo
AiBRcHipN/ia3UaOQQvV1Vuegl3NOaF9mOi3an1WHcaxBg==
-----END X509 CRL-----
`;

/** A list that names nobody and held until February 2020. */
export const expiredRevocationList = `-----BEGIN X509 CRL-----
MIG1MFwCAQEwCgYIKoZIzj0EAwIwHTEbMBkGA1UEAwwScmV2b2tpbmcgYXV0aG9y
aXR5Fw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAwMDBaoA4wDDAKBgNVHRQEAwIB
AzAKBggqhkjOPQQDAgNJADBGAiEA6ZNudYYvz2t6A2YIFWKsQHkcGNsSY23BbAXe
mr38XT4CIQDcY9s4cOgS9JOAdBUpleRdch780+mRgZqcHP0Mwhpefw==
-----END X509 CRL-----
`;

/** The list of another authority, which names nobody. */
export const otherRevocationList = `-----BEGIN X509 CRL-----
MIGzMFsCAQEwCgYIKoZIzj0EAwIwGjEYMBYGA1UEAwwPb3RoZXIgYXV0aG9yaXR5
Fw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFqgDjAMMAoGA1UdFAQDAgEB
MAoGCCqGSM49BAMCA0gAMEUCIQCcuARm9wdiySVtaJWxadURNTAv6+NOVgqTRnTB
MOWIyQIgHt6L9a0+EqKfmmsGov7Fp4fvGYvr+5ByDeBemt5xmPE=
-----END X509 CRL-----
`;
