//! From the console into the API: a link of a page to the JSON behind it works for whoever is signed in.
//!
//! For reading alone, and only for requests without a key of their own: the session's key is put into the request, and
//! for a platform key the tenant that the link names. The API checks both as it does for everybody.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::header::{AUTHORIZATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Uri};

use super::Console;
use super::session::is_own;
use crate::auth::TENANT_HEADER;
use crate::http::client::Client;

/// The same routes; what they answer to GET can be read by whoever is signed in to the console.
pub(crate) fn readable_when_signed_in(router: Router, console: Console) -> Router {
    router.layer(from_fn_with_state(console, lend_key))
}

async fn lend_key(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    if lend(&console, &mut request).is_none() {
        return next.run(request).await;
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Puts the session's key into a request; `None` leaves it as it came.
fn lend(console: &Console, request: &mut Request) -> Option<()> {
    if request.method() != Method::GET || request.headers().contains_key(AUTHORIZATION) {
        return None;
    }
    let visitor = console.sessions.visitor(&console.engine, request.headers())?;
    let client = request.extensions().get::<Client>()?;
    if !is_own(request.headers(), client) {
        return None;
    }
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", visitor.secret.reveal())).ok()?;
    bearer.set_sensitive(true);
    let tenant = take_tenant(request.uri_mut())?;
    if let (None, Some(slug)) = (visitor.key.tenant, tenant) {
        request.headers_mut().insert(TENANT_HEADER, HeaderValue::try_from(slug).ok()?);
    }
    request.headers_mut().insert(AUTHORIZATION, bearer);
    Some(())
}

/// Takes the tenant out of an address: the API knows no such parameter. `None` when what is left is no address.
#[expect(clippy::option_option, reason = "no tenant and no address are two things")]
fn take_tenant(uri: &mut Uri) -> Option<Option<String>> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let (named, rest): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name == "tenant");
    let tenant = named.into_iter().next().map(|(_, slug)| slug.into_owned());
    if tenant.is_some() {
        let rest = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
        let sign = if rest.is_empty() { "" } else { "?" };
        let left = format!("{}{sign}{rest}", uri.path());
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(left.parse().ok()?);
        *uri = Uri::from_parts(parts).ok()?;
    }
    Some(tenant)
}
