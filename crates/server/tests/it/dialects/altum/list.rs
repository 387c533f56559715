//! Lists: pages, links, filters, order.

use serde_json::json;

use super::{HANDLERS, Handler, List, Meta, Site, path, setup};
use crate::harness::eventually;

/// A site with so many handlers, `h001` being the first.
async fn site_with(count: usize) -> Site {
    let site = Site::start().await;
    for number in 1..=count {
        site.create_named(&format!("h{number:03}")).await;
    }
    site
}

#[tokio::test]
async fn a_second_page_has_the_rest() {
    let site = site_with(27).await;
    let here = format!("http://{}{HANDLERS}", site.server.address);
    let first = site.list("").await;
    assert_eq!(first.meta, Meta { page: 1, results_per_page: 25, total: 27, total_pages: 2 });
    assert_eq!((first.data.len(), first.names()[0]), (25, "h027"), "the newest first");
    let link = |page: u64| Some(format!("{here}?page={page}"));
    assert_eq!((first.links.next.clone(), first.links.prev, first.links.last), (link(2), None, link(2)));
    assert_eq!((Some(first.links.first), Some(first.links.this)), (link(1), link(1)));

    // As a client follows it.
    let next = first.links.next.expect("a second page");
    let second: List = site.client.get(next.split_once(&site.server.address.to_string()).unwrap().1).await.read(200);
    assert_eq!(second.names(), ["h002", "h001"]);
    assert_eq!(second.meta.page, 2);
    assert_eq!((second.links.next, second.links.prev), (None, link(1)));

    let beyond = site.list("?page=9").await;
    assert_eq!((beyond.data.len(), beyond.meta.page, beyond.meta.total_pages), (0, 9, 2));
    assert_eq!((beyond.links.next, beyond.links.prev, beyond.links.last), (None, link(8), link(2)));
    for page in ["0", "-3", "x", ""] {
        assert_eq!(site.list(&format!("?page={page}")).await.meta.page, 1, "{page}");
    }
}

#[tokio::test]
async fn no_rows_have_no_last_page() {
    let site = Site::start().await;
    let list = site.list("").await;
    assert_eq!(list.meta, Meta { page: 1, results_per_page: 25, total: 0, total_pages: 0 });
    assert_eq!((list.data.len(), list.links.last, list.links.next), (0, None, None));
}

#[tokio::test]
async fn links_keep_the_other_parameters_and_end_with_the_page() {
    let site = site_with(11).await;
    let query = "?page=1&results_per_page=10&search=h%30&search_by=name&what=ever";
    let links = site.list(query).await.links;
    let expected = format!(
        "http://{}{HANDLERS}?results_per_page=10&search=h%30&search_by=name&what=ever&page=2",
        site.server.address
    );
    assert_eq!(links.next, Some(expected));
    // Also when the path ends with a slash, and under its other name.
    for path in ["/api/notification-handlers/", "/api/notification-handler", "/api/notification-handler/"] {
        let list: List = site.client.get(&format!("{path}?results_per_page=10")).await.read(200);
        let path = path.trim_end_matches('/');
        let expected = format!("http://{}{path}?results_per_page=10&page=1", site.server.address);
        assert_eq!((list.data.len(), list.links.this), (10, expected));
    }
}

#[tokio::test]
async fn links_go_where_the_client_or_the_operator_says() {
    let site = Site::start().await;
    let answer = site.client.send(http::Method::GET, HANDLERS, &[("host", "notify.test:81")], "").await;
    assert_eq!(answer.read::<List>(200).links.first, format!("http://notify.test:81{HANDLERS}?page=1"));
    let site = Site::with(&setup().set("POSTRIDER_SERVER__PUBLIC_URL", "https://example.com/push/")).await;
    assert_eq!(site.list("").await.links.first, format!("https://example.com/push{HANDLERS}?page=1"));
}

#[tokio::test]
async fn the_other_name_and_a_slash_are_all_the_same_for_one() {
    let site = site_with(1).await;
    let id = site.list("").await.data[0].id;
    for name in ["notification-handlers", "notification-handler"] {
        for end in ["", "/"] {
            let answer = site.client.get(&format!("/api/{name}/{id}{end}")).await;
            assert_eq!(answer.text(), site.client.get(&path(id)).await.text());
        }
    }
}

#[tokio::test]
async fn filters_choose() {
    let site = Site::start().await;
    site.create(&[("name", "Work mail"), ("type", "email"), ("email", "a@example.com")]).await;
    site.create(&[("name", "homework"), ("type", "webhook"), ("webhook", "https://example.com/")]).await;
    let off = site.create(&[("name", "Garden"), ("type", "webhook"), ("webhook", "https://example.com/")]).await;
    site.update(off, &[("is_enabled", "0")]).await;
    let check = async |query: &str, expected: &[&str]| {
        let list = site.list(&format!("?{query}")).await;
        assert_eq!((list.names(), list.meta.total), (expected.to_vec(), expected.len() as u64), "{query}");
    };
    let all = ["Garden", "homework", "Work mail"];
    check("search=WORK&search_by=name", &["homework", "Work mail"]).await;
    check("search=WORK", &all).await;
    check("search=work&search_by=type", &all).await;
    check(&format!("search={}&search_by=name", "x".repeat(300)), &[]).await;
    check("type=webhook", &["Garden", "homework"]).await;
    check("type=telegram", &[]).await;
    check("type=pigeon", &all).await;
    check("is_enabled=0", &["Garden"]).await;
    check("is_enabled=true&type=webhook", &["homework"]).await;
    check("is_enabled=perhaps", &all).await;
    check("order_by=name", &["Garden", "Work mail", "homework"]).await;
    check("order_by=name&order_type=DESC", &["homework", "Work mail", "Garden"]).await;
    check("order_by=notification_handler_id", &["Work mail", "homework", "Garden"]).await;
    check("order_by=last_datetime&order_type=DESC", &["Garden", "homework", "Work mail"]).await;
    check("order_by=datetime&order_type=ASC", &["Work mail", "homework", "Garden"]).await;
    check("order_by=weight", &all).await;
    check("datetime_field=last_datetime&datetime_start=2020-01-01 00:00:00".replace(' ', "%20").as_str(), &["Garden"])
        .await;
    check("datetime_field=datetime&datetime_end=2020-01-01+00:00:00", &[]).await;
    check("datetime_end=2020-01-01+00:00:00", &all).await;
    check("datetime_field=datetime&datetime_end=yesterday", &all).await;
}

#[tokio::test]
async fn a_span_takes_in_both_of_its_ends() {
    let site = Site::start().await;
    let one = site.create_named("one").await;
    let first: Handler = site.handler(one).await;
    // One of another second.
    let (other, second) = eventually("the second is over", async || {
        let id = site.create_named("other").await;
        let handler = site.handler(id).await;
        if handler.datetime > first.datetime {
            return Some((id, handler));
        }
        site.client.delete(&path(id)).await;
        None
    })
    .await;
    let check = async |start: &str, end: &str, expected: &[i64]| {
        let query = format!("?order_type=ASC&datetime_field=datetime&datetime_start={start}&datetime_end={end}");
        let list = site.list(&query.replace(' ', "+")).await;
        assert_eq!(list.data.iter().map(|handler| handler.id).collect::<Vec<_>>(), expected, "{query}");
    };
    check(&first.datetime, &first.datetime, &[one]).await;
    check(&first.datetime, &second.datetime, &[one, other]).await;
    check(&second.datetime, &second.datetime, &[other]).await;
    check(&second.datetime, &first.datetime, &[]).await;
}

#[tokio::test]
async fn tenants_have_lists_of_their_own() {
    let site = site_with(2).await;
    site.server.client.webhook("https://example.com/", json!({})).await;
    assert_eq!(site.list("").await.meta.total, 2);
    let of_default: List = site.server.client.get(HANDLERS).await.read(200);
    assert_eq!((of_default.meta.total, of_default.data[0].r#type.as_str()), (1, "webhook"));
}
