//! The API's description.
//!
//! Paths and bodies come from the handlers; the errors, the common headers and the enumeration of
//! codes are added here from the route table and the codes themselves, so they cannot drift.

use std::collections::BTreeMap;

use serde_json::json;
use utoipa::OpenApi as _;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{
    Content, ContentBuilder, HeaderBuilder, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema, Type,
};

use super::call::TIMEOUT_HEADER;
use super::error::{Code, Problem};
use super::{Route, admin, cluster, consumers, docs, health, onecall, produce, routes, schema};

/// One of the ports of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// What clients use.
    Client,
    /// What operators use.
    Admin,
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sluice",
        description = "An HTTP proxy in front of Apache Kafka: consumer groups for clients that speak HTTP."
    ),
    paths(
        consumers::subscribe,
        consumers::consume,
        consumers::commit,
        consumers::seek,
        consumers::position,
        consumers::assignment,
        consumers::assign,
        consumers::describe,
        consumers::delete,
        produce::produce,
        produce::status,
        onecall::root,
        health::health,
        onecall::consume,
        onecall::messages,
        onecall::topics,
        onecall::produce,
        health::livez,
        health::readyz,
        docs::openapi,
        docs::page,
    ),
    components(schemas(
        schema::Problem,
        schema::SchemaName,
        schema::ProduceFormat,
        schema::Compression,
        schema::MessageLimit
    ))
)]
struct ClientApi;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sluice: operations",
        description = "What operators use, on the admin port."
    ),
    paths(
        admin::metrics,
        admin::list,
        cluster::show,
        cluster::drain,
        cluster::undrain,
        cluster::remove,
        health::livez,
        health::readyz,
        docs::openapi,
        docs::page,
    ),
    components(schemas(
        schema::Problem,
        schema::ConsumerId,
        schema::GroupId,
        schema::ListLimit
    ))
)]
struct AdminApi;

/// The errors that every route can answer.
const COMMON: &[Code] = &[
    Code::MethodNotAllowed,
    Code::NotAcceptable,
    Code::InvalidField,
    Code::Internal,
];

/// The description of what a port serves.
pub fn document(port: Port) -> OpenApi {
    let mut api = match port {
        Port::Client => ClientApi::openapi(),
        Port::Admin => AdminApi::openapi(),
    };
    api.info.version = env!("CARGO_PKG_VERSION").to_owned();
    add_rules(&mut api);
    for route in routes(port) {
        let path = api.paths.paths.get_mut(route.path);
        if let Some(operation) = path.and_then(|item| operation(item, route)) {
            complete(operation, route);
        }
    }
    api
}

/// Adds what the derived schemas have no words for. They have no member for these keywords, and
/// what they call extensions stands beside their own members.
fn add_rules(api: &mut OpenApi) {
    let schemas = api.components.as_mut().map(|all| &mut all.schemas);
    let Some(schemas) = schemas else { return };
    for (name, keyword, rule) in schema::rules() {
        if let Some(RefOr::T(Schema::Object(object))) = schemas.get_mut(name) {
            object.extensions = Some(Extensions::from_iter([(keyword, rule)]));
        }
    }
}

fn operation<'a>(item: &'a mut PathItem, route: &Route) -> Option<&'a mut Operation> {
    let slot = match route.method.as_str() {
        "GET" => &mut item.get,
        "POST" => &mut item.post,
        "PUT" => &mut item.put,
        "DELETE" => &mut item.delete,
        _ => return None,
    };
    slot.as_mut()
}

/// Adds what the handler's own description leaves out.
fn complete(operation: &mut Operation, route: &Route) {
    let parameters = operation.parameters.get_or_insert_default();
    parameters.extend(common_headers().map(RefOr::T));
    if let Some(RefOr::T(body)) = &mut operation.request_body {
        body.content.values_mut().for_each(refuse_null);
    }
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response
                .headers
                .insert("x-request-id".to_owned(), RefOr::T(request_id()));
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in COMMON.iter().chain(route.errors.iter().copied().flatten()) {
        let status = code.meaning().status.as_u16();
        by_status.entry(status).or_default().push(*code);
    }
    for (status, codes) in by_status {
        let response = RefOr::T(problem(status, &codes));
        operation
            .responses
            .responses
            .insert(status.to_string(), response);
    }
}

/// A body that may be left out is derived as one that may be `null`, which is refused.
fn refuse_null(content: &mut RefOr<Content>) {
    let RefOr::T(content) = content else { return };
    let Some(RefOr::T(Schema::OneOf(either))) = &content.schema else {
        return;
    };
    let named = either
        .items
        .iter()
        .find(|item| matches!(item, RefOr::Ref(_)));
    if let Some(named) = named.cloned() {
        content.schema = Some(named);
    }
}

fn problem(status: u16, codes: &[Code]) -> Response {
    let names: Vec<&str> = codes.iter().map(|code| code.meaning().code).collect();
    let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    for code in codes {
        let meaning = code.meaning();
        let example = ExampleBuilder::new()
            .summary(meaning.title)
            .value(Some(example(*code)))
            .build();
        content = content.examples_from_iter([(meaning.code, example)]);
    }
    let mut response = ResponseBuilder::new()
        .description(names.join(", "))
        .content("application/problem+json", content.build())
        .header("x-request-id", request_id());
    if matches!(status, 429 | 503) {
        let seconds = HeaderBuilder::new()
            .description(Some("Seconds after which a retry is worth it"))
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::Integer).build(),
            ))
            .build();
        response = response.header("Retry-After", seconds);
    }
    if status == 405 {
        let methods = HeaderBuilder::new()
            .description(Some("The methods that the path takes"))
            .schema(Some(string()))
            .build();
        response = response.header("Allow", methods);
    }
    response.build()
}

fn example(code: Code) -> serde_json::Value {
    let problem = Problem::new(code, format!("{}.", code.meaning().title));
    let problem = match code {
        Code::InvalidField => problem.with(
            "errors",
            json!([{"field": "topics", "message": "is required"}]),
        ),
        Code::BodyTooLarge => problem.with("limit", 16_777_216),
        Code::TopicNotFound => problem.with("topics", json!(["orders"])),
        Code::RecordTooLarge => problem.with("limit", 1_048_576),
        Code::PartitionNotFound | Code::PartitionNotAssigned | Code::NoCommittedOffset => {
            problem.with("partitions", json!({"orders": [7]}))
        }
        Code::OffsetOutOfRange => problem
            .with("topic", "orders")
            .with("partition", 0)
            .with("position", 3)
            .with("range", json!({"first": 10, "end": 20})),
        Code::TooManySessions => problem.with("limit", 500),
        _ => problem,
    };
    problem.body()
}

fn request_id() -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .description(Some("The request's own id, or a new one"))
        .schema(Some(string()))
        .build()
}

fn string() -> Schema {
    Schema::Object(ObjectBuilder::new().schema_type(Type::String).build())
}

fn common_headers() -> [Parameter; 3] {
    let header = |name: &str, description: &str, schema: ObjectBuilder| {
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(schema.build()))
            .build()
    };
    [
        header(
            "x-request-id",
            "Echoed in the answer, if it is 1 to 128 visible ASCII characters",
            ObjectBuilder::new().schema_type(Type::String),
        ),
        header(
            TIMEOUT_HEADER,
            "Lowers the deadline of the request, in milliseconds",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(1)),
        ),
        header(
            "traceparent",
            "W3C trace context",
            ObjectBuilder::new().schema_type(Type::String),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use sluice_types::AssignmentStrategy;

    use super::*;
    use crate::api::request::call::Consume;
    use crate::api::request::subscribe::Subscribe;
    use crate::api::request::{Faults, assign, commit, message, poll, produce, seek};

    /// What the description leaves out: the parts of the page at `/docs`.
    const UNDOCUMENTED: &str = "/docs/{file:.*}";

    fn described(port: Port) -> Value {
        serde_json::to_value(document(port)).unwrap()
    }

    #[test]
    fn every_route_is_described_and_every_description_is_a_route() {
        for port in [Port::Client, Port::Admin] {
            let served: BTreeSet<(String, String)> = routes(port)
                .filter(|route| route.path != UNDOCUMENTED)
                .map(|route| (route.path.to_owned(), route.method.as_str().to_lowercase()))
                .collect();
            let document = described(port);
            let listed: BTreeSet<(String, String)> = document["paths"]
                .as_object()
                .unwrap()
                .iter()
                .flat_map(|(path, item)| {
                    let methods = item.as_object().unwrap().keys();
                    methods.map(move |method| (path.clone(), method.clone()))
                })
                .collect();
            assert_eq!(served, listed);
        }
    }

    #[test]
    fn every_code_is_described_where_it_can_occur() {
        let all: String = [Port::Client, Port::Admin]
            .map(|port| described(port).to_string())
            .concat();
        // What no route answers, since no route was found.
        let elsewhere = [Code::RouteNotFound];
        for code in Code::ALL.iter().filter(|code| !elsewhere.contains(code)) {
            let name = format!("urn:sluice:error:{}", code.meaning().code);
            assert!(all.contains(&name), "{name} is nowhere");
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        for port in [Port::Client, Port::Admin] {
            let document = described(port);
            let text = document.to_string();
            for reference in text.split("\"$ref\":\"#/").skip(1) {
                let pointer = format!("/{}", reference.split('"').next().unwrap());
                assert!(document.pointer(&pointer).is_some(), "{pointer}");
            }
        }
    }

    #[test]
    fn a_body_may_be_left_out_but_is_never_null() {
        let document = described(Port::Client);
        for (name, schema) in [("consume", "ConsumeRequest"), ("commit", "CommitRequest")] {
            let path = format!("/api/consumers/{{id}}/{name}");
            let body = &document["paths"][&path]["post"]["requestBody"];
            let reference = format!("#/components/schemas/{schema}");
            let described = &body["content"]["application/json"]["schema"];
            assert_eq!(*described, json!({"$ref": reference}));
            assert_ne!(body["required"], true, "{name}");
        }
    }

    #[test]
    fn what_types_do_not_say_of_a_body_is_described_beside_its_fields() {
        let document = described(Port::Client);
        for (name, keyword, rule) in schema::rules() {
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema[keyword], rule, "{name}");
            assert!(schema["properties"].is_object(), "{name}");
        }
    }

    /// The fields that a parser knows: it names them when it refuses another.
    fn known(parse: impl Fn(Value) -> Result<(), Problem>) -> BTreeSet<String> {
        let problem = parse(serde_json::json!({"no_such_field": 1})).unwrap_err();
        let errors = problem.extras["errors"].as_array().unwrap();
        let refused = errors
            .iter()
            .find(|e| e["field"] == "no_such_field")
            .unwrap();
        let message = refused["message"].as_str().unwrap();
        let (_, names) = message.split_once("those are ").unwrap();
        names.split(", ").map(str::to_owned).collect()
    }

    #[test]
    fn bodies_are_described_with_the_fields_that_are_parsed() {
        let document = described(Port::Client);
        let check = |name: &str, parse: &dyn Fn(Value) -> Result<(), Problem>| {
            let schema = &document["components"]["schemas"][name];
            assert_eq!(schema["additionalProperties"], false, "{name}");
            let properties = schema["properties"].as_object().unwrap();
            let described: BTreeSet<String> = properties.keys().cloned().collect();
            assert_eq!(described, known(parse), "{name}");
            assert!(
                parse(schema["example"].clone()).is_ok(),
                "the example of {name}"
            );
        };
        check("SubscribeRequest", &|body| {
            let strategy = AssignmentStrategy::Range;
            Subscribe::parse(Some(body), strategy, true, Faults::default()).map(drop)
        });
        check("ConsumeRequest", &|body| {
            poll::parse(Some(body), Faults::default()).map(drop)
        });
        check("CommitRequest", &|body| {
            commit::parse(Some(body), Faults::default()).map(drop)
        });
        check("SeekRequest", &|body| {
            seek::parse(Some(body), Faults::default()).map(drop)
        });
        check("ProduceRequest", &|body| {
            let body = serde_json::to_vec(&body).unwrap().into();
            produce::parse(&body, 10, Faults::default()).map(drop)
        });
        check("ConsumeOnceRequest", &|body| {
            let group = |_: &_| Ok("g".parse().unwrap());
            Consume::parse(Some(body), group, Faults::default()).map(drop)
        });
        check("ProduceOneRequest", &|body| {
            let body = serde_json::to_vec(&body).unwrap().into();
            message::parse(&body, Faults::default()).map(drop)
        });
        check("AssignRequest", &|body| {
            assign::parse(Some(body), Faults::default()).map(drop)
        });
    }
}
