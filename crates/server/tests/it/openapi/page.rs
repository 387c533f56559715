//! `GET /docs`.

use super::{document, operations};
use crate::harness::Setup;

#[tokio::test]
async fn the_page_shows_every_operation_and_loads_nothing_from_elsewhere() {
    let server = Setup::new().start().await;
    let answer = server.client_with("").get("/docs").await;
    assert_eq!(answer.status.as_u16(), 200);
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    let page = answer.text();
    for (path, method, operation) in operations(&document(&server).await) {
        let id = operation["operationId"].as_str().unwrap();
        assert_eq!(page.matches(&format!("id=\"{id}\"")).count(), 1, "{id}");
        assert!(page.contains(&format!("{} {path}", method.to_uppercase())), "{method} {path}");
    }
    assert!(page.contains(&format!("curl -X POST 'http://{}/v1/events'", server.address)));
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("style="), "{page}");
    assert_eq!(page.matches("<link").count(), 1);
    let style = server.client_with("").get("/docs/style.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
}
