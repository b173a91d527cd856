use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_actors::{Commit, HeadersFormat, Outgoing, Seek, SeekTarget};
use sluice_types::{AssignmentStrategy, Format, OffsetReset, Partition, Timestamp};

use super::subscribe::Subscribe;
use super::*;
use crate::api::error::{Code, Problem};

fn subscribe(body: Value) -> Result<Subscribe, Problem> {
    let strategy = AssignmentStrategy::CooperativeSticky;
    Subscribe::parse(Some(body), strategy, false, Faults::default())
}

#[track_caller]
fn fields<T: std::fmt::Debug>(refused: Result<T, Problem>) -> Vec<String> {
    let problem = refused.expect_err("was taken");
    assert_eq!(problem.code, Code::InvalidField);
    let errors = problem.extras["errors"].as_array().unwrap().clone();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_subscribe_needs_a_group_and_topics_and_fills_in_the_rest() {
    let spec = subscribe(json!({"group_id": "g", "topics": ["b", "a"]}))
        .unwrap()
        .spec;
    assert_eq!(spec.topics.len(), 2);
    assert_eq!(spec.auto_offset_reset, OffsetReset::Latest);
    assert_eq!(spec.session_timeout.as_millis(), 30_000);
    assert_eq!(spec.auto_commit_interval.as_millis(), 5_000);
    assert_eq!(spec.key_format, Format::String);
    assert_eq!(spec.client_id, "sluice");
    assert!(!spec.auto_commit);
    assert_eq!(fields(subscribe(json!({}))), ["group_id", "topics"]);
}

#[test]
fn null_is_as_good_as_absent() {
    let body = json!({"group_id": "g", "topics": ["a"], "client_id": null, "consumer_id": null});
    let parsed = subscribe(body).unwrap();
    assert_eq!(parsed.spec.client_id, "sluice");
    assert!(parsed.id.is_none());
    assert_eq!(
        fields(subscribe(json!({"group_id": null, "topics": ["a"]}))),
        ["group_id"]
    );
}

#[test]
fn all_faults_of_a_subscribe_are_told_at_once() {
    let body = json!({
        "group_id": "", "topics": ["a", "a", "b c", 4], "auto_offset_reset": "first",
        "session_timeout_ms": 999, "auto_commit": "yes", "auto_commit_interval_ms": 1.5,
        "isolation_level": 7, "key_format": "xml", "value_format": 1,
        "assignment_strategy": [], "client_id": "", "consumer_id": "a/b", "colour": "red",
    });
    assert_eq!(
        fields(subscribe(body)),
        [
            "group_id",
            "topics[1]",
            "topics[2]",
            "topics[3]",
            "auto_offset_reset",
            "session_timeout_ms",
            "auto_commit",
            "auto_commit_interval_ms",
            "isolation_level",
            "key_format",
            "value_format",
            "assignment_strategy",
            "client_id",
            "consumer_id",
            "colour",
        ]
    );
}

#[test]
fn limits_of_a_subscribe_are_inclusive() {
    let with = |topics: Vec<String>, timeout: i64| {
        subscribe(json!({"group_id": "g", "topics": topics, "session_timeout_ms": timeout}))
    };
    let names = |count: usize| (0..count).map(|n| format!("t{n}")).collect::<Vec<_>>();
    assert!(with(names(100), 1_000).is_ok());
    assert!(with(names(1), 3_600_000).is_ok());
    assert_eq!(fields(with(names(101), 1_000)), ["topics"]);
    assert_eq!(
        fields(with(names(0), 3_600_001)),
        ["topics", "session_timeout_ms"]
    );
}

#[test]
fn avro_needs_a_registry() {
    let body = json!({"group_id": "g", "topics": ["t"], "key_format": "avro"});
    let problem = subscribe(body).unwrap_err();
    assert_eq!(problem.code, Code::SchemaRegistryNotConfigured);
}

#[test]
fn an_id_that_is_a_path_cannot_be_chosen() {
    let body = json!({"group_id": "g", "topics": ["t"], "consumer_id": "subscribe"});
    assert_eq!(fields(subscribe(body)), ["consumer_id"]);
}

#[test]
fn a_poll_without_a_body_has_defaults() {
    for body in [None, Some(json!({}))] {
        let poll = poll::parse(body, Faults::default()).unwrap();
        assert_eq!(poll.wait.as_millis(), 30_000);
        assert_eq!(poll.max_records.get(), 500);
        assert_eq!(poll.max_bytes.get(), 1_048_576);
        assert_eq!(poll.headers, HeadersFormat::Object);
        assert_eq!(poll.after, None);
    }
}

#[test]
fn faults_of_a_poll_are_told_at_once() {
    let body = json!({
        "timeout_ms": -1, "max_records": 0, "max_bytes_total": 67_108_865u64,
        "headers_format": "map", "after": "", "limit": 1,
    });
    assert_eq!(
        fields(poll::parse(Some(body), Faults::default())),
        [
            "timeout_ms",
            "max_records",
            "max_bytes_total",
            "headers_format",
            "after",
            "limit"
        ]
    );
    for body in [json!([]), json!(null), json!("x"), json!(1)] {
        assert_eq!(fields(poll::parse(Some(body), Faults::default())), ["body"]);
    }
}

#[test]
fn a_commit_names_offsets_or_a_cursor_or_nothing() {
    let parse = |body| commit::parse(body, Faults::default());
    assert!(matches!(parse(None), Ok(Commit::Delivered)));
    assert!(matches!(parse(Some(json!({}))), Ok(Commit::Delivered)));
    assert!(matches!(parse(Some(json!({"cursor": "c"}))), Ok(Commit::Cursor(c)) if c == "c"));
    let empty = parse(Some(json!({"offsets": {}})));
    assert!(matches!(empty, Ok(Commit::Offsets(offsets)) if offsets.is_empty()));
    let some = parse(Some(json!({"offsets": {"orders": {"0": 10, "1": 15}}})));
    assert!(matches!(some, Ok(Commit::Offsets(offsets)) if offsets.len() == 2));
    let both = json!({"offsets": {}, "cursor": "c"});
    assert_eq!(fields(parse(Some(both))), ["cursor"]);
}

#[test]
fn wrong_offsets_are_named_by_their_place() {
    let body =
        json!({"offsets": {"orders": {"0": -1, "x": 1, "1": "2"}, "a b": {"0": 1}, "t": [1]}});
    let mut found = fields(commit::parse(Some(body), Faults::default()));
    found.sort();
    assert_eq!(
        found,
        [
            "offsets.a b",
            "offsets.orders.0",
            "offsets.orders.1",
            "offsets.orders.x",
            "offsets.t"
        ]
    );
}

#[test]
fn a_seek_has_three_shapes() {
    let parse = |body: Value| seek::parse(Some(body), Faults::default());
    let one = parse(json!({"topic": "t", "partition": 0, "offset": 5})).unwrap();
    assert!(one.single.is_some());
    let topic = parse(json!({"topic": "t", "timestamp": 7})).unwrap();
    let at = SeekTarget::Timestamp(Timestamp::from_millis(7));
    assert!(matches!(topic.seek, Seek::Topic(_, target) if target == at));
    assert!(topic.single.is_none());
    let many = parse(json!({"offsets": {"t": {"0": 5, "1": "latest"}}})).unwrap();
    let Seek::Partitions(targets) = many.seek else {
        panic!("not partitions");
    };
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[1].1, SeekTarget::Latest);
}

#[test]
fn a_seek_without_a_clear_target_is_refused() {
    let parse = |body: Value| fields(seek::parse(Some(body), Faults::default()));
    assert_eq!(parse(json!({})), ["topic", "offset"]);
    assert_eq!(
        parse(json!({"topic": "t", "partition": -1, "offset": -1})),
        ["partition", "offset"]
    );
    assert_eq!(
        parse(json!({"topic": "t", "offset": 1, "timestamp": 1})),
        ["timestamp"]
    );
    assert_eq!(parse(json!({"topic": "t", "offset": "end"})), ["offset"]);
    assert_eq!(parse(json!({"topic": "t", "timestamp": -1})), ["timestamp"]);
    assert_eq!(parse(json!({"offsets": {}})), ["offsets"]);
    assert_eq!(
        parse(json!({"offsets": {"t": {"0": 1}}, "topic": "t"})),
        ["topic"]
    );
}

#[test]
fn an_assignment_is_not_empty() {
    let parse = |body: Value| assign::parse(Some(body), Faults::default());
    assert_eq!(
        parse(json!({"topics": {"orders": [0, 1, 1]}}))
            .unwrap()
            .len(),
        2
    );
    assert_eq!(fields(parse(json!({}))), ["topics"]);
    assert_eq!(fields(parse(json!({"topics": {}}))), ["topics"]);
    assert_eq!(
        fields(parse(json!({"topics": {"orders": []}}))),
        ["topics.orders"]
    );
    let wrong = json!({"topics": {"orders": [-1, "0"], "..": [0]}});
    let mut found = fields(parse(wrong));
    found.sort();
    assert_eq!(found, ["topics...", "topics.orders[0]", "topics.orders[1]"]);
}

#[test]
fn a_list_refuses_parameters_that_it_does_not_know() {
    let parse = |query| list::parse(Query::parse(query), Faults::default());
    let all = parse("").unwrap();
    assert_eq!((all.group, all.after, all.limit), (None, None, 100));
    let some = parse("group_id=a%20b&limit=5&cursor=c-1").unwrap();
    assert_eq!(some.group.unwrap().as_str(), "a b");
    assert_eq!(some.limit, 5);
    assert_eq!(
        fields(parse("limit=0&cursor=/&colour=red")),
        ["limit", "cursor", "colour"]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let name = prop_oneof![
        "[a-z_]{1,12}",
        Just("topics".to_owned()),
        Just("offsets".to_owned()),
        Just("offset".to_owned()),
        Just("topic".to_owned()),
        Just("group_id".to_owned()),
        Just("timeout_ms".to_owned()),
        "[0-9]{1,12}",
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Refusals must be ones that a client can act on.
fn written(body: &str) -> Result<Vec<Outgoing>, Problem> {
    let body = Bytes::from(body.to_owned());
    produce::parse(&body, 10, Faults::default())
}

#[test]
fn what_is_to_be_written_stays_part_of_the_body() {
    let records = written(
        r#" {"records": [ {"value" : {"b": 1.0,  "a":1e9} , "key":"\u0041", "partition":2.0},
                          {"key":null, "timestamp": 5, "headers": {"a": null, "b": ""}} ] } "#,
    )
    .unwrap();
    let [first, second] = &records[..] else {
        panic!("{records:?}");
    };
    assert_eq!(
        first.value.as_deref(),
        Some(&br#"{"b": 1.0,  "a":1e9}"#[..])
    );
    assert_eq!(first.key.as_deref(), Some(&br#""\u0041""#[..]));
    assert_eq!(first.partition.map(Partition::get), Some(2));
    assert_eq!((&second.key, &second.value), (&None, &None));
    assert_eq!(second.timestamp, Some(Timestamp::from_millis(5)));
    assert_eq!(second.header_count, 2);
}

#[test]
fn of_many_faults_a_hundred_are_told() {
    let faulty = |count: usize| format!(r#"{{"records":[{}]}}"#, vec!["7"; count].join(","));
    let told = |count| {
        let body = Bytes::from(faulty(count));
        fields(produce::parse(&body, 10_000, Faults::default()))
    };
    assert_eq!(told(100).len(), 100);
    let most = told(5_000);
    assert_eq!(most.len(), 101);
    assert_eq!(most[100], "records");
}

fn check<T>(parsed: Result<T, Problem>) {
    if let Err(problem) = parsed {
        assert!(matches!(
            problem.code,
            Code::InvalidField | Code::SchemaRegistryNotConfigured
        ));
        assert!(!problem.detail.is_empty());
    }
}

proptest! {
    #[test]
    fn no_document_makes_a_parser_panic(body in any_json()) {
        check(subscribe(body.clone()));
        check(poll::parse(Some(body.clone()), Faults::default()));
        check(commit::parse(Some(body.clone()), Faults::default()));
        check(seek::parse(Some(body.clone()), Faults::default()));
        check(written(&body.to_string()));
        let records = json!({"records": [{"key": 1, "headers": body.clone()}, body.clone()]});
        check(written(&records.to_string()));
        check(assign::parse(Some(body), Faults::default()));
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        if let Ok(body) = crate::api::body::parse(&bytes) {
            check(subscribe(body));
        }
        drop(produce::parse(&bytes.clone().into(), 10, Faults::default()));
        let text = String::from_utf8_lossy(&bytes);
        check(list::parse(Query::parse(&text), Faults::default()));
    }
}
