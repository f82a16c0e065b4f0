/** Certificates and keys of clients for tests. The keys guard nothing. */

/** The authority that a callee trusts. Its certificates are valid from 2020 to 2120 where nothing else is said. */
export const clientAuthority = `-----BEGIN CERTIFICATE-----
MIIBZTCCAQugAwIBAgIBEDAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEXMBUG
A1UEAwwOdGVzdCBhdXRob3JpdHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQT
YMNpASxOcW2A2qZ/h5py7p+JiUwcRHNriiDw4Fmwailuk0tvhJyW+l3GrJDzoe6W
p29ybk+LQ7X53ue/dnEso0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQE
AwIBBjAdBgNVHQ4EFgQUw1swmLthydgO0LDju9eQwIpquUIwCgYIKoZIzj0EAwID
SAAwRQIgW+CujQzj13HjS02dmWi32nou9vMpJwMKH35n7iU/It4CIQCc5G0AP1mY
vLtOhD9N1tynSR/k3Q950nQbu5vzUFIT7g==
-----END CERTIFICATE-----
`;

/** An authority in between, which signed the clients; a client brings it along. */
export const intermediateAuthority = `-----BEGIN CERTIFICATE-----
MIIBkjCCATegAwIBAgIBEjAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA50ZXN0IGF1
dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowJDEiMCAG
A1UEAwwZdGVzdCBhdXRob3JpdHkgb2YgY2xpZW50czBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABI99USWQ48i5BTBad8mSX11U1zZhKJ4VKaFEuTUVLda+POfTM+hT
CCs65IDcsYyqnQbWVeSGZOzPDcEHb1mKhgCjYzBhMA8GA1UdEwEB/wQFMAMBAf8w
DgYDVR0PAQH/BAQDAgEGMB0GA1UdDgQWBBQbGccxnjc/16PrsUc5CeUlqaa9lzAf
BgNVHSMEGDAWgBTDWzCYu2HJ2A7QsOO715DAimq5QjAKBggqhkjOPQQDAgNJADBG
AiEAy94jGtpM4bTSJkx7SR5Sa/sLR+AdV3IqTHuopOUDS6QCIQDe/mRr6YiIh3sS
flj4b/2XgVaj9YDo0fHChTSjoXt6CA==
-----END CERTIFICATE-----
`;

/** A client's key, which guards nothing. */
export const firstKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgQckg6TZhC33u3759
3mi6mXw+1ztuUL0zqBdzIIM2lf2hRANCAATzq1PBHo03yBgWSX0VWkIFHjMwrzh4
CmAhXSjWvDf/JI8qzjTJ5cc0Lxcc0gEFqOJT55VPEEjx00XEB1MpELbL
-----END PRIVATE KEY-----
`;

/** The certificate of `first client`. */
export const firstCertificate = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIBEzAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0ZXN0IGF1
dGhvcml0eSBvZiBjbGllbnRzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAw
MDAwWjAXMRUwEwYDVQQDDAxmaXJzdCBjbGllbnQwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATzq1PBHo03yBgWSX0VWkIFHjMwrzh4CmAhXSjWvDf/JI8qzjTJ5cc0
Lxcc0gEFqOJT55VPEEjx00XEB1MpELbLo28wbTAJBgNVHRMEAjAAMAsGA1UdDwQE
AwIHgDATBgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQU/fw54zkpkv/hS8X6
wOeRAABZiY8wHwYDVR0jBBgwFoAUGxnHMZ43P9ej67FHOQnlJammvZcwCgYIKoZI
zj0EAwIDSAAwRQIgB66U1bL1vIqRLwxyoXGXz0lE1FGDaWEb5dUaET7+e2ACIQDy
XnqX+J3IB1YvD5UcERTpURl7h/bTpYe6xoIVQ6y2UQ==
-----END CERTIFICATE-----
`;

/** Another client's key. */
export const secondKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7NC9yheC2bZAif+/
0sDiV4r6qo3Yc9sZUcIlaHDmTdChRANCAAQ37QufJx5vfxncpuHqJVYzmyGvZJxp
NTxHhHMSLmNfeGYqXefBYN0rcJ19Mtvtne6SJ13VmVXxkA8abeILrLOG
-----END PRIVATE KEY-----
`;

/** The certificate of `second client`. */
export const secondCertificate = `-----BEGIN CERTIFICATE-----
MIIBnTCCAUKgAwIBAgIBFDAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0ZXN0IGF1
dGhvcml0eSBvZiBjbGllbnRzMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAw
MDAwWjAYMRYwFAYDVQQDDA1zZWNvbmQgY2xpZW50MFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAEN+0Lnyceb38Z3Kbh6iVWM5shr2ScaTU8R4RzEi5jX3hmKl3nwWDd
K3CdfTLb7Z3ukidd1ZlV8ZAPGm3iC6yzhqNvMG0wCQYDVR0TBAIwADALBgNVHQ8E
BAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0OBBYEFCUbAXqMVDcnnCEf
6GUcNZtBIlmhMB8GA1UdIwQYMBaAFBsZxzGeNz/Xo+uxRzkJ5SWppr2XMAoGCCqG
SM49BAMCA0kAMEYCIQDKECSchMqrESWFRoWfwK8fS4MgDYYahOgE73AsGSnwqQIh
AJ517+FeoI+Yiifv2xMGf0JA16OV9nB5IWBE9P7bBPK6
-----END CERTIFICATE-----
`;

/** The key of a client that the callee does not know. */
export const foreignKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOxnZPgycBECaIjub
OY03Yv4nRcMYu0VbNqlrkxy8fYahRANCAASX+8//1XwbeSzmgiS5EDx5IF8WWS5Q
qUyV1YYruVIzjGRsm1sjllPzvKdj/Rp2byQO4duelP6L21vQhbQ1jT65
-----END PRIVATE KEY-----
`;

/** The certificate of `foreign client`, signed by an authority of its own. */
export const foreignCertificate = `-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIBFTAKBggqhkjOPQQDAjAcMRowGAYDVQQDDBFhbm90aGVy
IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowGTEX
MBUGA1UEAwwOZm9yZWlnbiBjbGllbnQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASX+8//1XwbeSzmgiS5EDx5IF8WWS5QqUyV1YYruVIzjGRsm1sjllPzvKdj/Rp2
byQO4duelP6L21vQhbQ1jT65o28wbTAJBgNVHRMEAjAAMAsGA1UdDwQEAwIHgDAT
BgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQU1W9Pt77U8OqNzjg5JdERZBZh
a50wHwYDVR0jBBgwFoAUtcSDkU9EkPgZDPiMa0bU1X+dr2YwCgYIKoZIzj0EAwID
SQAwRgIhAIaKFinPNENA0K6/pdZMNE7cx4Oy1C12tWBEIaNQlEKoAiEAg4lWGfdo
TVQCCAZJ26rKHKr0PrGZhCKDU+2rMXWC9a8=
-----END CERTIFICATE-----
`;

/** A certificate of the first key that expired in 2020. */
export const expiredClientCertificate = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIBFjAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0ZXN0IGF1
dGhvcml0eSBvZiBjbGllbnRzMB4XDTIwMDEwMTAwMDAwMFoXDTIwMDEwMjAwMDAw
MFowGTEXMBUGA1UEAwwOZXhwaXJlZCBjbGllbnQwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAATzq1PBHo03yBgWSX0VWkIFHjMwrzh4CmAhXSjWvDf/JI8qzjTJ5cc0
Lxcc0gEFqOJT55VPEEjx00XEB1MpELbLo28wbTAJBgNVHRMEAjAAMAsGA1UdDwQE
AwIHgDATBgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQU/fw54zkpkv/hS8X6
wOeRAABZiY8wHwYDVR0jBBgwFoAUGxnHMZ43P9ej67FHOQnlJammvZcwCgYIKoZI
zj0EAwIDSAAwRQIgDtQvrWdvbhc6lGZc8GsKfGgVfDdOptDz7Mh/npwtjWUCIQDM
ZmDCLLIc2/5QkGDMIWMqgRcb313L6NxiXmikAd9aCQ==
-----END CERTIFICATE-----
`;

/** A certificate of the first key that is valid from 2119 on. */
export const futureClientCertificate = `-----BEGIN CERTIFICATE-----
MIIBnjCCAUSgAwIBAgIBFzAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBl0ZXN0IGF1
dGhvcml0eSBvZiBjbGllbnRzMCIYDzIxMTkwMTAxMDAwMDAwWhgPMjEyMDAxMDEw
MDAwMDBaMBgxFjAUBgNVBAMMDWZ1dHVyZSBjbGllbnQwWTATBgcqhkjOPQIBBggq
hkjOPQMBBwNCAATzq1PBHo03yBgWSX0VWkIFHjMwrzh4CmAhXSjWvDf/JI8qzjTJ
5cc0Lxcc0gEFqOJT55VPEEjx00XEB1MpELbLo28wbTAJBgNVHRMEAjAAMAsGA1Ud
DwQEAwIHgDATBgNVHSUEDDAKBggrBgEFBQcDAjAdBgNVHQ4EFgQU/fw54zkpkv/h
S8X6wOeRAABZiY8wHwYDVR0jBBgwFoAUGxnHMZ43P9ej67FHOQnlJammvZcwCgYI
KoZIzj0EAwIDSAAwRQIgP79YItjaK5mTJRmIFdoo55C7Watld6mMmuRJbEBkAFAC
IQDFSOPHjvHngeXv4AwGx/zfCMgs9svYCTF2nlvIMjXtaw==
-----END CERTIFICATE-----
`;

/** The first key under the passphrase `x`, as PKCS #8. */
export const encryptedKey = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgCs3Knk5JqJwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJG1CN5c6QXQl8YLcU2eYRgEgZCx
XXEAlBdccxgW4kFKrlvU4LHT2Sdb2UzgFVKrjU4ldefdftmzDGfFV5sNLswKtkdx
57NnFso2f6qNj0Mxb8uvxq9DGM2UqOsYWGHBsCgnkKVVPbAwkA6eF7CgfsUGjEBK
nlhy+mLWKw6rYbiomcfOz6Hi9cV+thUzH8qBWAEXIw2bVEtKMTYVV5SRvh6gnuc=
-----END ENCRYPTED PRIVATE KEY-----
`;

/** The first key under the passphrase `x`, as OpenSSL wrote it in earlier times. */
export const encryptedOldKey = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,C00D5911BBAF1E86DD1A46579EAB3A33

yhkkK7IXvXjUYppa6vp5u/4vXtygmFD/5p2j+a8Qc2BKZNFcr71OobY9F8GPJwgN
p7v1VZZbe3dVQlSRjbqv7emaRqMQDuefPKTEvRJ7LhBCMzt792a9T+d0Jmfpjdjb
Wfn8T4+4s5xc1GXenq80rgJFAF85qxTSkgNf+nUtVto=
-----END EC PRIVATE KEY-----
`;

/** The first key as OpenSSL wrote it in earlier times, behind the parameters of its curve. */
export const keyWithParameters = `-----BEGIN EC PARAMETERS-----
BggqhkjOPQMBBw==
-----END EC PARAMETERS-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIEHJIOk2YQt97t++fd5oupl8Ptc7blC9M6gXcyCDNpX9oAoGCCqGSM49
AwEHoUQDQgAE86tTwR6NN8gYFkl9FVpCBR4zMK84eApgIV0o1rw3/ySPKs40yeXH
NC8XHNIBBajiU+eVTxBI8dNFxAdTKRC2yw==
-----END EC PRIVATE KEY-----
`;

/** What is put as a secret: certificates and a key in PEM. */
export const bundleOf = (...parts: readonly string[]): string => parts.join('');

export const firstBundle = bundleOf(firstCertificate, intermediateAuthority, firstKey);
export const secondBundle = bundleOf(secondCertificate, intermediateAuthority, secondKey);
export const foreignBundle = bundleOf(foreignCertificate, foreignKey);
