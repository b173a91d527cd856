//! `/openapi.json` says what the process does, and `/docs` shows it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};
use sluice_tests::{Answer, Client};

use crate::node;

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

/// Both ports, each with the paths that only it has.
async fn ports() -> [(Client, Value); 2] {
    let node = node().await;
    let described = async |client: &Client| {
        let document = client.call(Method::GET, "/openapi.json", ()).await;
        document.expect(200).json
    };
    let (client, admin) = (node.client(), node.admin());
    let of_both = (described(&client).await, described(&admin).await);
    [(client, of_both.0), (admin, of_both.1)]
}

/// Returns the methods of each path.
fn paths(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().expect("it has paths");
    let upper = |item: &Value| {
        let methods = item.as_object().expect("a path has methods").keys();
        methods.map(|method| method.to_uppercase()).collect()
    };
    let named = paths.iter().map(|(path, item)| (path.clone(), upper(item)));
    named.collect()
}

async fn ask(client: &Client, method: &str, path: &str) -> Answer {
    let method: Method = method.parse().expect("it is a method");
    let path = path.replace("{id}", "nobody").replace("{name}", "nobody");
    client
        .call(method, &path, json!({"no_such_field": 1}))
        .await
        .answer()
}

#[tokio::test]
async fn what_is_described_is_there_and_answers_as_described() {
    for (client, document) in ports().await {
        assert!(
            document["openapi"]
                .as_str()
                .is_some_and(|v| v.starts_with("3."))
        );
        for (path, methods) in paths(&document) {
            for method in methods {
                let answer = ask(&client, &method, &path).await;
                let status = answer.status.to_string();
                assert!(
                    !matches!(answer.status, 405 | 500),
                    "{method} {path}: {status}"
                );
                assert_ne!(answer["code"], "route_not_found", "{method} {path}");
                let operation = &document["paths"][&path][method.to_lowercase()];
                let response = &operation["responses"][&status];
                assert!(response.is_object(), "{method} {path} can answer {status}");
                if let Some(code) = answer["code"].as_str() {
                    let examples = &response["content"]["application/problem+json"]["examples"];
                    assert!(examples[code].is_object(), "{method} {path}: {code}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_there_is_described() {
    let ports = ports().await;
    let everything: BTreeSet<String> = ports
        .iter()
        .flat_map(|(_, document)| paths(document).into_keys())
        .collect();
    assert!(everything.contains("/metrics") && everything.contains("/api/consumers/{id}/seek"));
    for (client, document) in &ports {
        let described = paths(document);
        for path in &everything {
            let mut served = BTreeSet::new();
            for method in METHODS {
                let answer = ask(client, method, path).await;
                if answer["code"] != "route_not_found" && answer.status != 405 {
                    served.insert(method.to_owned());
                }
            }
            let expected = described.get(path).cloned().unwrap_or_default();
            assert_eq!(served, expected, "{path} at {}", client.base());
        }
    }
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_the_binary() {
    for (client, _) in ports().await {
        let page = client.call(Method::GET, "/docs", ()).await.expect(200);
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert!(page.text.contains("swagger-ui"), "{}", page.text);
        assert!(
            !page.text.contains("//"),
            "nothing from elsewhere: {}",
            page.text
        );
        assert!(page.text.contains("<base href=\"docs/\">"), "{}", page.text);
        let parts = ["src=\"", "href=\""].map(|attribute| {
            let after = page.text.split(attribute).skip(1);
            after.filter_map(|rest| rest.split('"').next())
        });
        let mut loaded = 0;
        for part in parts.into_iter().flatten().filter(|part| *part != "docs/") {
            let path = format!("/docs/{}", part.trim_start_matches("./"));
            let part = client.call(Method::GET, &path, ()).await.expect(200);
            assert!(!part.text.is_empty(), "{path}");
            loaded += 1;
        }
        assert!(loaded >= 4, "{loaded} parts of {}", page.text);
        let start = client.call(Method::GET, "/docs/swagger-initializer.js", ());
        let start = start.await.expect(200);
        assert!(start.text.contains("../openapi.json"), "{}", start.text);
    }
}
