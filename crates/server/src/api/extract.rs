//! Extractors: what a handler asks of a request, checked before it runs.

use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use domain::TenantId;
use domain::tenant::Scope;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::App;
use super::problem::Problem;
use crate::auth::{self, Acting};
use crate::http as plumbing;

/// A caller that may do what `P` says, for its tenant.
pub(crate) struct Caller<P> {
    pub(crate) tenant: TenantId,
    permission: PhantomData<P>,
}

/// One scope, as a type.
pub(crate) trait Permission {
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($name:ident),+) => {$(
        pub(crate) struct $name;

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

permissions!(EventsRead, ChannelsRead, ChannelsWrite, DeliveriesRead, DeliveriesWrite, Inbox);

impl<P: Permission> FromRequestParts<App> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let tenant = auth::tenant_for(engine, parts, P::SCOPE)?;
        Ok(Self { tenant, permission: PhantomData })
    }
}

/// A caller that may post events: for its tenant, or with a platform key for those that the events name.
pub(crate) struct Poster(pub(crate) Acting);

impl FromRequestParts<App> for Poster {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        Ok(Self(auth::acting(engine, parts, Scope::EventsWrite)?))
    }
}

/// A caller with a platform key.
pub(crate) struct Platform;

impl FromRequestParts<App> for Platform {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        auth::check_platform(engine, parts)?;
        Ok(Self)
    }
}

/// The bytes of a body, to their bound.
pub(crate) struct Raw(pub(crate) Bytes);

impl FromRequest<App> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        Ok(Self(plumbing::body::read(request).await?))
    }
}

/// A JSON body, whatever its content type says.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, engine: &App) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, engine).await?;
        parse(&bytes, "").map(Self)
    }
}

/// Reads JSON. What is not JSON is malformed; what is not of the right form names its field, after `prefix`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], prefix: &str) -> Result<T, Problem> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(Problem::malformed(format!("the body is not JSON: {error}")));
    }
    // Read again, slower, to find out which field it is.
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let located: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
    let (path, message) = match located {
        Ok(value) => return Ok(value),
        Err(located) => (located.path().to_string(), located.inner().to_string()),
    };
    let message = message.split(" at line ").next().unwrap_or_default();
    let mut field = if path == "." { prefix.to_owned() } else { format!("{prefix}{path}") };
    if let Some(name) = missing_field(message) {
        // The path ends where the field should be.
        field = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    }
    Err(Problem::invalid_field(&field, without_value(message)))
}

/// What a message of serde says would be right. It also repeats the value that is wrong, which may be a secret in the
/// wrong place.
fn without_value(message: &str) -> String {
    if !message.starts_with("invalid ") {
        return message.to_owned();
    }
    match message.rsplit_once(", expected ") {
        Some((_, "a string")) => "must be a text".to_owned(),
        Some((_, "a boolean")) => "must be true or false".to_owned(),
        Some((_, "a sequence")) => "must be an array".to_owned(),
        Some((_, "f32" | "f64")) => "must be a number".to_owned(),
        Some((_, "i32" | "i64" | "u16" | "u32" | "u64" | "usize")) => {
            "must be a whole number within its bounds".to_owned()
        }
        Some((_, expected)) if expected == "a map" || expected.starts_with("struct ") => "must be an object".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => "is not valid".to_owned(),
    }
}

/// The name in serde's "missing field `name`".
fn missing_field(message: &str) -> Option<&str> {
    message.strip_prefix("missing field `")?.split_once('`').map(|(name, _)| name)
}

/// The variable parts of a path.
pub(crate) struct PathParts<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for PathParts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, engine).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Problem::not_found("there is nothing at this path"))
    }
}

/// A number at the end of a path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: From<i64>> FromRequestParts<App> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let PathParts(text) = PathParts::<String>::from_request_parts(parts, engine).await?;
        let number = text.parse().ok().filter(|number| (1..=domain::ids::ID_MAX).contains(number));
        let number = number.ok_or_else(|| Problem::not_found(format!("there is nothing with the id {text:?}")))?;
        Ok(Self(T::from(number)))
    }
}

/// The query of a URL; an error names the parameter.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = serde_urlencoded::Deserializer::new(url::form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let (path, message) = (error.path().to_string(), error.inner().to_string());
        match names_in(&message).split_first() {
            Some((unknown, known)) if message.starts_with("unknown field") => unknown_parameter(unknown, known),
            Some((missing, _)) if message.starts_with("missing field") => {
                Problem::invalid_field(missing, "is required")
            }
            Some((twice, _)) if message.starts_with("duplicate field") => {
                Problem::invalid_field(twice, "may be given once")
            }
            _ => Problem::invalid_field(&path, message),
        }
    })
}

/// The names in a message of serde, which stand in backticks.
fn names_in(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// Somebody who mistypes a filter should not get everything.
fn unknown_parameter(unknown: &str, known: &[&str]) -> Problem {
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, unknown);
    let nearest = known.iter().min_by_key(distance).copied().unwrap_or_default();
    let message = format!("is not a parameter here; did you mean {nearest}? There are {}", known.join(", "));
    Problem::invalid_field(unknown, message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read from JSON")]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only read from JSON")]
        number: u32,
    }

    #[test]
    fn errors_name_the_field() {
        let check = |json: &str, expected: &str| {
            let problem = parse::<Outer>(json.as_bytes(), "").unwrap_err();
            let shown = serde_json::to_value(&problem).unwrap();
            assert_eq!(shown["errors"][0]["field"], expected, "{json}: {shown}");
        };
        check("{}", "list");
        check(r#"{"list": 1}"#, "list");
        check(r#"{"list": [{}]}"#, "list[0].number");
        check(r#"{"list": [{"number": "x"}]}"#, "list[0].number");
        check(r#"{"list": [{"number": 1, "more": 2}]}"#, "list[0].more");
        check(r#"{"list": [], "other": 1}"#, "other");
        check("7", "");
    }

    #[test]
    fn errors_say_what_would_be_right_and_repeat_no_value() {
        let check = |json: &str, expected: &str| {
            let shown = serde_json::to_value(parse::<Outer>(json.as_bytes(), "").unwrap_err()).unwrap();
            assert_eq!(shown["errors"][0]["message"], expected, "{json}");
            assert!(!shown.to_string().contains("canary"), "{shown}");
        };
        check(r#""canary""#, "must be an object");
        check(r#"{"list": "canary, expected a canary"}"#, "must be an array");
        check(r#"{"list": ["canary"]}"#, "must be an object");
        check(r#"{"list": [{"number": "canary"}]}"#, "must be a whole number within its bounds");
        check(r#"{"list": [{"number": -1}]}"#, "must be a whole number within its bounds");
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        let problem = parse::<Outer>(b"{\"list\": [", "").unwrap_err();
        let shown = serde_json::to_value(&problem).unwrap();
        assert_eq!((shown["status"].as_u64(), shown["errors"].as_array()), (Some(400), None));
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        #[expect(dead_code, reason = "only read from a query")]
        channel_id: i64,
        #[expect(dead_code, reason = "only read from a query")]
        status: Option<String>,
    }

    #[test]
    fn errors_name_the_parameter() {
        let check = |query: &str, field: &str, message: &str| {
            let shown = serde_json::to_value(parse_query::<Query>(query).unwrap_err()).unwrap();
            assert_eq!((&shown["status"], &shown["errors"][0]["field"]), (&422.into(), &field.into()), "{query}");
            let told = shown["errors"][0]["message"].as_str().unwrap();
            assert!(told.contains(message), "{query}: {told}");
        };
        check("", "channel_id", "is required");
        check("channel_id=x", "channel_id", "invalid digit");
        check("channel_id=1&channel_id=2", "channel_id", "once");
        check("channel_id=1&stauts=a", "stauts", "did you mean status? There are channel_id, status");
        check("channel=1", "channel", "did you mean channel_id?");
        parse_query::<Query>("channel_id=1&status=%C3%A4").unwrap();
    }
}
