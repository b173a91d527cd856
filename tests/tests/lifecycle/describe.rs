//! `GET /api/consumers/{id}`, and the list of the admin port.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sluice_tests::reader::assigned;
use sluice_tests::{Node, unique};

use super::Names;

#[tokio::test]
async fn a_session_shows_all_that_is_known_of_it() {
    let names = Names::new(2).await;
    names.kafka.fill(&names.topic, 20, 0).await.unwrap();
    let client = names.node.client();
    let mut spec = names.spec();
    let options = json!({
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 45_000,
        "auto_commit": false,
        "auto_commit_interval_ms": 7000,
        "isolation_level": "read_uncommitted",
        "key_format": "binary",
        "value_format": "json",
        "assignment_strategy": "roundrobin",
        "client_id": "tester",
    });
    for (name, value) in options.as_object().unwrap() {
        spec[name] = value.clone();
    }
    let subscribed = client.subscribe(spec).await.expect(200);
    let seek = json!({"offsets": {&names.topic: {"0": 3, "1": 10}}});
    client.seek(&names.id, seek).await.expect(200);
    let commit = json!({"offsets": {&names.topic: {"0": 2}}});
    client.commit(&names.id, commit).await.expect(200);

    let described = client.get(&names.id).await.expect(200);
    let expected = json!({
        "consumer_id": names.id,
        "group_id": names.group,
        "topics": [names.topic],
        "mode": "subscribed",
        "state": "running",
        "epoch": 1,
        "generation": subscribed["generation"],
        "assignment": {&names.topic: [0, 1]},
        "positions": {&names.topic: {"0": 3, "1": 10}},
        "committed": {&names.topic: {"0": 2}},
        "lag": {&names.topic: {"0": 7, "1": 0}},
        "options": options,
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(described[name], *value, "{name}");
    }
    let varying = ["owner", "idle_ms", "created_at"];
    let fields: BTreeSet<&str> = described
        .json
        .as_object()
        .unwrap()
        .keys()
        .map(|k| &**k)
        .collect();
    let named = expected.as_object().unwrap().keys().map(|k| &**k);
    assert_eq!(fields, named.chain(varying).collect());
    assert!(!described.text_at("owner").is_empty());
    assert!(described["idle_ms"].as_u64().unwrap() < 45_000);
    let written = names.kafka.read_all(&names.topic).await.unwrap()[0].timestamp;
    assert!(described["created_at"].as_i64() >= written, "{described:?}");

    let members = names.kafka.members(&names.group).await.unwrap();
    assert_eq!(members[0].client_id, "tester");
    client.delete(&names.id).await.expect(204);
}

#[tokio::test]
async fn an_id_that_is_none_is_not_found_either() {
    let client = Node::shared().await.client();
    for id in ["nobody", "not%20an%20id", &"x".repeat(65)] {
        let unknown = client.get(id).await;
        unknown.expect_problem(404, "consumer_not_found");
    }
}

#[tokio::test]
async fn the_admin_port_lists_the_sessions_of_a_group_page_by_page() {
    let names = Names::new(1).await;
    let (client, admin) = (names.node.client(), names.node.admin());
    let mut ids = BTreeSet::new();
    let prefix = unique("consumer");
    for number in 0..5 {
        let mut spec = names.spec();
        let id = format!("{prefix}-{number}");
        spec["consumer_id"] = json!(id);
        // Each alone in its group would not be listed together, and together they would wait for
        // partitions that are not there.
        let other = unique("orders");
        names.kafka.create_topic(&other, 1).await.unwrap();
        spec["topics"] = json!([other]);
        client.subscribe(spec).await.expect(200);
        ids.insert(id);
    }
    let stranger = unique("stranger");
    let mut spec = names.spec();
    spec["consumer_id"] = json!(stranger);
    spec["group_id"] = json!(unique("group"));
    client.subscribe(spec).await.expect(200);

    let (mut listed, mut sizes, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
    loop {
        let mut query = vec![("group_id", &*names.group), ("limit", "2")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = admin.list(&query).await.expect(200);
        let consumers = page["consumers"].as_array().unwrap().clone();
        sizes.push(consumers.len());
        listed.extend(consumers);
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            assert_eq!(page["next_cursor"], Value::Null);
            break;
        }
    }
    assert_eq!(sizes, [2, 2, 1]);
    let found: Vec<&str> = listed
        .iter()
        .filter_map(|c| c["consumer_id"].as_str())
        .collect();
    assert_eq!(found, ids.iter().map(|id| &**id).collect::<Vec<_>>());
    for consumer in &listed {
        assert_eq!(consumer["group_id"], json!(names.group));
        assert_eq!(consumer["mode"], "subscribed");
    }

    let all = admin.list(&[("limit", "1000")]).await.expect(200);
    let all = all["consumers"].as_array().unwrap();
    assert!(
        all.iter()
            .any(|consumer| consumer["consumer_id"] == json!(stranger))
    );
    for id in ids.iter().chain([&stranger]) {
        client.delete(id).await.expect(204);
    }
    let left = admin.list(&[("group_id", &*names.group)]).await.expect(200);
    assert_eq!(left.json, json!({"consumers": [], "next_cursor": null}));
}

#[tokio::test]
async fn a_wrong_query_of_the_list_is_refused_with_all_its_faults() {
    let admin = Node::shared().await.admin();
    let query = [("limit", "0"), ("group_id", ""), ("colour", "red")];
    let problem = admin.list(&query).await;
    let problem = problem.expect_problem(422, "invalid_field");
    let faults = problem["errors"].as_array().unwrap();
    let fields: BTreeSet<&str> = faults.iter().filter_map(|f| f["field"].as_str()).collect();
    assert_eq!(fields, ["colour", "group_id", "limit"].into());
}

#[tokio::test]
async fn the_client_port_lists_no_sessions() {
    let client = Node::shared().await.client();
    let status = client.list(&[]).await.status();
    assert_eq!(status, Some(404));
}

#[tokio::test]
async fn a_repeated_subscribe_finds_the_living_session() {
    let names = Names::new(2).await;
    let client = names.node.client();
    let first = client.subscribe(names.spec()).await.expect(200);
    let again = client.subscribe(names.spec()).await.expect(200);
    assert_eq!(again.json, first.json);
    assert_eq!(assigned(&again, &names.topic).len(), 2);
    assert_eq!(names.member_count().await, 1);
    let mut other = names.spec();
    other["session_timeout_ms"] = json!(31_000);
    let refused = client.subscribe(other).await;
    refused.expect_problem(409, "consumer_exists");
    client.delete(&names.id).await.expect(204);
}
