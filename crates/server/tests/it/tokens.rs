//! Bearer tokens of an issuer that the operator names: what they may, and everything that is tried with them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};

use crate::harness::{Answer, Receiver, Reply, Server, Setup, eventually, now_seconds};

const PATH: &str = "/tenants/me/notifications";
const ISSUER: &str = "https://login.test/pool";

/// A key of the issuer.
struct Signer {
    id: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
    /// As a JWKS has it, without its name.
    public: Value,
}

impl Signer {
    fn new(id: &'static str, algorithm: Algorithm) -> Self {
        let of = |key: &EncodingKey| serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
        let (key, public) = match algorithm {
            Algorithm::ES256 => {
                let key = EncodingKey::from_ec_der(&KeyPair::generate().unwrap().serialize_der());
                let public = of(&key);
                (key, public)
            }
            Algorithm::EdDSA => {
                let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
                let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
                (EncodingKey::from_ed_der(&pair.serialize_der()), json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
            }
            _ => {
                let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
                // The key itself, without the 26 bytes that PKCS #8 puts before it.
                let key = EncodingKey::from_rsa_der(&pair.serialize_der()[26..]);
                let public = of(&key);
                (key, public)
            }
        };
        Self { id, algorithm, key, public }
    }

    fn public(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = self.id.into();
        jwk["use"] = "sig".into();
        jwk
    }

    fn header(&self) -> Header {
        Header { kid: Some(self.id.to_owned()), ..Header::new(self.algorithm) }
    }

    fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.key).unwrap()
    }
}

fn jwks(signers: &[&Signer]) -> String {
    // Beside what is good: a key of a kind that nobody knows, and a secret that is none of a JWKS.
    let mut keys =
        vec![json!({"kty": "NEW", "kid": "future"}), json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"})];
    keys.extend(signers.iter().map(|signer| signer.public()));
    json!({"keys": keys}).to_string()
}

fn claims(role: &str) -> Value {
    let now = now_seconds();
    json!({"iss": ISSUER, "aud": ["other", "postrider"], "sub": "u1", "custom:tenantId": "acme", "role": role,
        "iat": now, "exp": now + 3600})
}

/// What is good, with one claim another.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims("owner");
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims("owner");
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn trusting(jwks: &str) -> Setup {
    Setup::new()
        .set("POSTRIDER_JWT__ISSUER", ISSUER)
        .set("POSTRIDER_JWT__AUDIENCE", "postrider")
        .set("POSTRIDER_JWT__JWKS", jwks)
        .set("POSTRIDER_JWT__TENANT_CLAIM", "custom:tenantId")
}

async fn start(setup: Setup) -> Server {
    let server = setup.start().await;
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
    server
}

/// The status and the code of an answer of the Aether365 face.
fn told(answer: &Answer) -> (u16, String) {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status.as_u16(), body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn roles_decide_what_a_token_may() {
    let issuer = Receiver::start().await;
    let signers = [("a", Algorithm::ES256), ("b", Algorithm::RS256), ("c", Algorithm::EdDSA)];
    let signers = signers.map(|(id, algorithm)| Signer::new(id, algorithm));
    issuer.always("/jwks", Reply::status(200).body(jwks(&signers.each_ref())));
    let server = start(trusting(&issuer.url("/jwks"))).await;
    for signer in &signers {
        let as_role = |role: &str| server.client_with(&signer.sign(&claims(role)));
        for role in ["owner", "admin", "member"] {
            as_role(role).get(PATH).await.read::<Value>(200);
        }
        as_role("owner").patch(PATH, &json!({"emailOnFail": true})).await.read::<Value>(200);
        let refused = as_role("member").patch(PATH, &json!({"emailOnFail": true})).await;
        assert_eq!(told(&refused), (403, "AUTH_INSUFFICIENT_SCOPE".to_owned()));
        let refused = as_role("guest").get(PATH).await;
        assert_eq!(told(&refused), (403, "AUTH_INSUFFICIENT_SCOPE".to_owned()));
    }
    assert_eq!(issuer.count("/jwks"), 1, "keys are remembered");

    // Every face takes them: as a key of its tenant, and never more.
    let mut several = claims("x");
    several["role"] = json!(["guest", "admin"]);
    let admin = server.client_with(&signers[0].sign(&several));
    admin.get("/v1/channels").await.read::<Value>(200);
    admin.get("/api/webhooks").await.read::<Value>(200);
    admin.accept(&json!({"type": "a", "data": {}})).await;
    admin.get("/v1/tenants").await.problem(403);
    admin.clone().for_tenant("default").get("/v1/channels").await.problem(403);
    server.client.post("/v1/tenants/acme/suspend", &json!({})).await.read::<Value>(200);
    assert_eq!(told(&admin.get(PATH).await), (403, "TENANT_ACCESS_DENIED".to_owned()));
}

#[tokio::test]
async fn tokens_that_are_no_good_are_refused() {
    let issuer = Receiver::start().await;
    let (signer, rsa, other) =
        (Signer::new("a", Algorithm::ES256), Signer::new("r", Algorithm::RS256), Signer::new("a", Algorithm::ES256));
    issuer.always("/jwks", Reply::status(200).body(jwks(&[&signer, &rsa])));
    let server = start(trusting(&issuer.url("/jwks")).set("POSTRIDER_JWT__REFETCH_SECONDS", "3600")).await;
    let check = async |what: &str, token: &str, code: &str| {
        assert_eq!(told(&server.client_with(token).get(PATH).await), (401, code.to_owned()), "{what}");
        server.client_with(token).get("/v1/channels").await.problem(401);
    };
    let now = now_seconds();
    server.client_with(&signer.sign(&with("exp", json!(now - 5)))).get(PATH).await.read::<Value>(200);
    check("expired", &signer.sign(&with("exp", json!(now - 120))), "AUTH_EXPIRED_TOKEN").await;
    let invalid = "AUTH_INVALID_TOKEN";
    for (what, claims) in [
        ("another issuer", with("iss", json!("https://evil.test/pool"))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("other"))),
        ("no audience", without("aud")),
        ("for ever", without("exp")),
        ("an end that is no number", with("exp", json!("2099"))),
        ("not yet", with("nbf", json!(now + 3600))),
        ("no tenant", without("custom:tenantId")),
        ("a tenant that is no text", with("custom:tenantId", json!(1))),
        ("an unknown tenant", with("custom:tenantId", json!("nobody"))),
        ("expired and of another issuer", {
            let mut claims = with("exp", json!(now - 120));
            claims["iss"] = "https://evil.test".into();
            claims
        }),
    ] {
        check(what, &signer.sign(&claims), invalid).await;
    }
    check("a key of the same name that is another's", &other.sign(&claims("owner")), invalid).await;
    let header = Header { kid: Some("unknown".to_owned()), ..signer.header() };
    check("an unknown key", &encode(&header, &claims("owner"), &signer.key).unwrap(), invalid).await;

    // Signed by whoever knows what everybody may know.
    let public = rsa.public()["n"].as_str().unwrap().to_owned();
    for secret in
        [public.clone().into_bytes(), URL_SAFE_NO_PAD.decode(&public).unwrap(), b"secret".to_vec(), Vec::new()]
    {
        for id in ["r", "secret"] {
            let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::HS256) };
            let token = encode(&header, &claims("owner"), &EncodingKey::from_secret(&secret)).unwrap();
            check("HS256", &token, invalid).await;
        }
    }
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for name in ["none", "None", "NONE", "", "HS256", "ES384"] {
        for signature in ["", "AA"] {
            let token = format!("{}.{}.{signature}", part(json!({"alg": name, "kid": "a"})), part(claims("owner")));
            check(name, &token, invalid).await;
        }
    }
    let good = signer.sign(&claims("owner"));
    let parts: Vec<&str> = good.split('.').collect();
    let forged = format!("{}.{}.{}", parts[0], part(with("custom:tenantId", json!("default"))), parts[2]);
    check("other claims under the signature", &forged, invalid).await;
    let critical = part(json!({"alg": "ES256", "kid": "a", "crit": ["x"], "x": 1}));
    check("extensions", &format!("{critical}.{}.{}", parts[1], parts[2]), invalid).await;
    for garbage in ["..", "a.b.c", "e30.e30.e30", &format!("{good}.x"), &good[..good.len() - 4]] {
        check("garbage", garbage, invalid).await;
    }
    assert_eq!(issuer.count("/jwks"), 1, "made-up keys do not make the issuer be asked again");
}

#[tokio::test]
async fn new_keys_are_found_and_old_ones_forgotten() {
    let issuer = Receiver::start().await;
    let (old, new) = (Signer::new("old", Algorithm::ES256), Signer::new("new", Algorithm::ES256));
    issuer.script("/jwks", [Reply::status(503), Reply::status(200).body(jwks(&[&old]))]);
    issuer.always("/jwks", Reply::status(200).body(jwks(&[&new])));
    let server = start(trusting(&issuer.url("/jwks")).set("POSTRIDER_JWT__REFETCH_SECONDS", "1")).await;
    let once = async |what: &str, signer: &Signer| {
        let client = server.client_with(&signer.sign(&claims("member")));
        eventually(what, async || (client.get(PATH).await.status.as_u16() == 200).then_some(())).await;
    };
    once("the issuer is there again", &old).await;
    once("a new key", &new).await;
    assert_eq!(told(&server.client_with(&old.sign(&claims("member"))).get(PATH).await).0, 401);
}

#[tokio::test]
async fn keys_may_be_a_file_and_settings_must_be_whole() {
    let signer = Signer::new("a", Algorithm::EdDSA);
    let setup = trusting("jwks.json").with_file("jwks.json", &jwks(&[&signer]));
    let server = start(setup).await;
    server.client_with(&signer.sign(&claims("member"))).get(PATH).await.read::<Value>(200);
    // Without a name there is one key that fits.
    let nameless = encode(&Header::new(Algorithm::EdDSA), &claims("member"), &signer.key).unwrap();
    server.client_with(&nameless).get(PATH).await.read::<Value>(200);

    let refused = async |setup: Setup, part: &str| {
        let (status, text) = setup.start_in_vain().await;
        assert!(!status.success() && text.contains(part), "{part}: {text}");
    };
    refused(trusting("missing.json"), "missing.json").await;
    refused(trusting("empty.json").with_file("empty.json", "{}"), "no list of keys").await;
    refused(trusting(""), "jwt.jwks").await;
    refused(trusting("jwks.json").set("POSTRIDER_JWT__AUDIENCE", ""), "jwt.audience").await;
    refused(trusting("ftp://x.test/"), "POSTRIDER_JWT__JWKS").await;
}

#[tokio::test]
async fn without_an_issuer_no_token_is_taken() {
    let signer = Signer::new("a", Algorithm::ES256);
    let server = start(Setup::new()).await;
    let answer = server.client_with(&signer.sign(&claims("owner"))).get(PATH).await;
    assert_eq!(told(&answer), (401, "AUTH_INVALID_TOKEN".to_owned()));
}
