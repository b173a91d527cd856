//! What the types of single fields do not say of a body.

use serde_json::{Map, Value, json};

/// Keywords of JSON Schema, by the name of the schema that they belong to. A `null` counts as
/// absent.
pub(in crate::api) fn rules() -> [(&'static str, &'static str, Value); 3] {
    let some = json!({"type": "object", "minProperties": 1});
    [
        (
            "AssignRequest",
            "allOf",
            json!([{"properties": {"topics": some}}]),
        ),
        (
            "CommitRequest",
            "anyOf",
            json!([without(&["offsets"]), without(&["cursor"])]),
        ),
        (
            "SeekRequest",
            "oneOf",
            json!([
                {"allOf": [with(&["topic", "offset"]), without(&["timestamp", "offsets"])]},
                {"allOf": [with(&["topic", "timestamp"]), without(&["offset", "offsets"])]},
                {"allOf": [
                    {"required": ["offsets"], "properties": {"offsets": some}},
                    without(&["topic", "partition", "offset", "timestamp"]),
                ]},
            ]),
        ),
    ]
}

fn with(fields: &[&str]) -> Value {
    let present = each(fields, &json!({"not": {"type": "null"}}));
    json!({"required": fields, "properties": present})
}

fn without(fields: &[&str]) -> Value {
    json!({"properties": each(fields, &json!({"type": "null"}))})
}

fn each(fields: &[&str], rule: &Value) -> Map<String, Value> {
    let rules = fields
        .iter()
        .map(|field| ((*field).to_owned(), rule.clone()));
    rules.collect()
}
