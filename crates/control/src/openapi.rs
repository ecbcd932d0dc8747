//! The OpenAPI description, made from [`ROUTES`].

use std::collections::BTreeMap;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ArrayBuilder, ComponentsBuilder, Content, HttpMethod, Info, License, ObjectBuilder, OpenApi, OpenApiBuilder,
        PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    error::ErrorBody,
    routes::{Body, Method, ROUTES, Route, TypeOf},
    types::{AppsState, Device, GroupInfo, Lease, NearbyDevice, PairingStatus, Resource, ResourceState},
};

/// The description of the whole API.
pub fn openapi() -> OpenApi {
    let mut info = Info::new("Tutti control API", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.to_owned());
    info.license = Some(License::new("Apache-2.0 OR MIT"));
    let paths = ROUTES.iter().fold(PathsBuilder::new(), |paths, route| {
        let item = utoipa::openapi::PathItem::new(method(route.method), operation(route));
        paths.path(route.openapi_path(), item)
    });
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = ComponentsBuilder::new().schemas_from_iter(schemas()).security_scheme("token", token).build();
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components))
        // Either nothing (on the Unix socket) or the token (on TCP).
        .security(Some([SecurityRequirement::default(), SecurityRequirement::new::<_, [&str; 0], _>("token", [])]))
        .build()
}

const ABOUT: &str = "What a Tutti device does for the programs on its machine. Over HTTP/1.1 on a Unix socket that \
    only its owner may open, and on loopback TCP with `Authorization: Bearer TOKEN` when the device was started so.\n\n\
    A device is named in a path by its name, its id, or the first six digits or more of its id. Ids are hexadecimal, \
    times are milliseconds, moments are milliseconds since 1970 UTC. Every error has the form of `ErrorBody`.";

fn method(method: Method) -> HttpMethod {
    match method {
        Method::Get => HttpMethod::Get,
        Method::Put => HttpMethod::Put,
        Method::Post => HttpMethod::Post,
        Method::Patch => HttpMethod::Patch,
        Method::Delete => HttpMethod::Delete,
    }
}

fn operation(route: &Route) -> OperationBuilder {
    let title = route.what.split_once(". ").map_or(route.what, |(title, _)| title);
    let mut operation = OperationBuilder::new()
        .operation_id(Some(operation_id(route)))
        .summary(Some(title.trim_end_matches('.')))
        .description(Some(route.what))
        .response(route.status().to_string(), answer(route))
        .response("default", {
            let error = Content::new(Some(Ref::from_schema_name(ErrorBody::name())));
            ResponseBuilder::new().description("An error.").content("application/json", error)
        });
    for name in route.path_parameters() {
        operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True, text()));
    }
    for query in route.query {
        let schema: RefOr<Schema> = if query.repeated { ArrayBuilder::new().items(text()).into() } else { text() };
        let mut parameter = parameter(query.name, ParameterIn::Query, Required::False, schema);
        parameter.description = Some(query.what.to_owned());
        operation = operation.parameter(parameter);
    }
    if let Some((media, content)) = content(route.request) {
        let body = RequestBodyBuilder::new().content(media, content).required(Some(Required::True)).build();
        operation = operation.request_body(Some(body));
    }
    operation
}

/// `GET /v1/offers/{name}/commands` → `get_offers_name_commands`.
fn operation_id(route: &Route) -> String {
    let words = route
        .path
        .trim_start_matches("/v1")
        .trim_start_matches('/')
        .split('/')
        .map(|part| part.trim_matches(['{', '}', '*']).replace('.', "_"));
    [route.method.word().to_lowercase()].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

fn parameter(name: &str, place: ParameterIn, required: Required, schema: RefOr<Schema>) -> Parameter {
    ParameterBuilder::new().name(name).parameter_in(place).required(required).schema(Some(schema)).build()
}

fn text() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

fn answer(route: &Route) -> ResponseBuilder {
    let description = match route.response {
        Body::None => "Done.".to_owned(),
        Body::Events(name, _) => format!("Events named `{name}`; their data is JSON as described. `ping` each 15 s."),
        Body::Changes => "Events named `devices`, `nearby`, `resources`, `pairing`, `group` and `leases`; their data \
            is JSON with the body of the GET route of the same name (`group`: a GroupInfo; `values`: ResourceState; `apps`: AppsState). `ping` each 15 s."
            .to_owned(),
        _ => "Done.".to_owned(),
    };
    let builder = ResponseBuilder::new().description(description);
    match content(route.response) {
        Some((media, content)) => builder.content(media, content),
        None => builder,
    }
}

fn content(body: Body) -> Option<(&'static str, Content)> {
    let reference = |of: TypeOf| Ref::from_schema_name((of.name)());
    Some(match body {
        Body::None => return None,
        Body::Json(of) => ("application/json", Content::new(Some(reference(of)))),
        Body::List(of) => ("application/json", Content::new(Some(ArrayBuilder::new().items(reference(of))))),
        Body::Events(_, of) => ("text/event-stream", Content::new(Some(reference(of)))),
        Body::Changes => ("text/event-stream", Content::new(Some(text()))),
        Body::Text(media) => (media, Content::new(Some(text()))),
        Body::Bytes => ("application/octet-stream", {
            Content::new(Some(ObjectBuilder::new().schema_type(Type::String).content_encoding("binary")))
        }),
        Body::Description => ("application/json", Content::new(Some(ObjectBuilder::new().schema_type(Type::Object)))),
    })
}

/// Every schema that a body is made of, by name.
fn schemas() -> BTreeMap<String, RefOr<Schema>> {
    let mut all = Vec::new();
    for body in ROUTES.iter().flat_map(|route| [route.request, route.response]) {
        if let Body::Json(of) | Body::List(of) | Body::Events(_, of) = body {
            all.push(((of.name)().into_owned(), (of.schema)()));
            (of.schemas)(&mut all);
        }
    }
    fn add<T: ToSchema + PartialSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
        all.push((T::name().into_owned(), T::schema()));
        T::schemas(all);
    }
    add::<ErrorBody>(&mut all);
    // What the events carry.
    add::<Device>(&mut all);
    add::<NearbyDevice>(&mut all);
    add::<Resource>(&mut all);
    add::<PairingStatus>(&mut all);
    add::<GroupInfo>(&mut all);
    add::<Lease>(&mut all);
    add::<ResourceState>(&mut all);
    add::<AppsState>(&mut all);
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    /// Every `$ref` in it.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(target)) = map.get("$ref") {
                    found.insert(target.clone());
                }
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described() {
        let document = document();
        for route in ROUTES {
            let operation = &document["paths"][route.openapi_path()][route.method.word().to_lowercase()];
            assert!(operation["description"].is_string(), "{route:?}");
            let answer = &operation["responses"][route.status().to_string()];
            assert_eq!(answer["content"].is_object(), !matches!(route.response, Body::None), "{route:?}");
            assert!(operation["responses"]["default"].is_object(), "{route:?}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let names: BTreeSet<_> = ROUTES.iter().map(operation_id).collect();
        assert_eq!(names.len(), ROUTES.len());
        assert!(names.contains("get_offers_name_commands"));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(found.contains("#/components/schemas/LeaseHolder"), "{found:?}");
        for target in found {
            let path = target.strip_prefix('#').unwrap();
            assert!(document.pointer(path).is_some(), "{target} is not described");
        }
    }

    #[test]
    fn every_type_and_field_says_what_it_is() {
        let document = document();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(schema["description"].is_string(), "{name} has no description");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                // A field whose type has a description of its own may lean on it; an optional one says it within.
                let leans = schema["$ref"].is_string();
                let says = schema["description"].is_string() || schema["oneOf"][0]["description"].is_string();
                assert!(says || leans, "{name}.{field} has no description: {schema}");
            }
        }
    }

    #[test]
    fn words_and_values_are_described_as_they_are_sent() {
        let schemas = &document()["components"]["schemas"];
        assert_eq!(schemas["Presence"]["enum"], serde_json::json!(["self", "online", "offline"]));
        assert_eq!(schemas["Presence"]["type"], "string");
        assert_eq!(schemas["SetValue"]["properties"]["value"]["$ref"], "#/components/schemas/Value");
        assert!(schemas["Value"]["oneOf"].is_array());
    }

    #[test]
    fn the_description_of_a_resource() {
        insta::assert_json_snapshot!(document()["components"]["schemas"]["LeaseRequest"]);
        insta::assert_json_snapshot!(document()["paths"]["/v1/resources"]);
    }
}
