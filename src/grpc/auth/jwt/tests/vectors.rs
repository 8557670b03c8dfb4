//! Tokens and keys that others made: the examples of the standards.

use super::*;

/// The claims of RFC 7515's examples: `{"iss":"joe", "exp":1300819380, …}`.
const JOE: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// Returns why a token is not accepted. The claims are read only if the signature is valid.
fn check(jwk: Value, token: &str) -> AuthFailure {
    let (mut jwt, _) = judge(&[jwk]);
    jwt.validation = claims::validation("joe", AUDIENCE);
    name(&jwt, token).unwrap_err()
}

#[test]
fn rfc_7515_a2_is_rs256() {
    let n = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2l\
        ZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg\
        665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuX\
        poQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds\
        9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_d\
        O--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGl\
        UPQGe77Rw";
    let jwk = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
    assert_eq!(
        check(jwk.clone(), &format!("eyJhbGciOiJSUzI1NiJ9.{JOE}.{signature}")),
        AuthFailure::AUDIENCE
    );
    let altered = JOE.replacen('J', "K", 1);
    let forged = check(jwk, &format!("eyJhbGciOiJSUzI1NiJ9.{altered}.{signature}"));
    assert_eq!(forged, AuthFailure::FORGED);
}

#[test]
fn rfc_7515_a3_is_es256() {
    let jwk = json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    assert_eq!(
        check(jwk, &format!("eyJhbGciOiJFUzI1NiJ9.{JOE}.{signature}")),
        AuthFailure::AUDIENCE
    );
}

#[test]
fn rfc_8037_a4_is_eddsa() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    // Its payload is a sentence, and no claims.
    assert_eq!(check(jwk, token), AuthFailure::MALFORMED);
}
