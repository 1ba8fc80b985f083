//! An example of what a schema describes: its own where it has one, else the simplest that fits.

use serde_json::{Map, Value, json};

const DEPTH_MAX: usize = 12;
const MOMENT: &str = "2026-12-01T06:00:00Z";

/// An example of a schema; `name` is what the value is called where it stands.
pub fn of(schema: &Value, name: &str, schemas: &Value) -> Value {
    at(schema, name, schemas, 0)
}

/// An example of what is no JSON.
pub fn of_medium(kind: &str) -> Value {
    match kind {
        "text/csv" => "code,name\nLUN,Lusaka\n".into(),
        "text/calendar" => "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nEND:VCALENDAR\r\n".into(),
        "text/plain" | "text/plain; charset=utf-8" => "ok\n".into(),
        _ => "(bytes)".into(),
    }
}

fn at(schema: &Value, name: &str, schemas: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let next = |schema: &Value, name: &str| at(schema, name, schemas, depth + 1);
    if let Some(reference) = schema["$ref"].as_str() {
        let named = reference.rsplit('/').next().unwrap_or_default();
        return next(&schemas[named], name);
    }
    for own in ["example", "const", "default"] {
        if let Some(value) = schema.get(own) {
            return value.clone();
        }
    }
    for first in ["examples", "enum"] {
        if let Some(value) = schema[first].get(0) {
            return value.clone();
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let mut whole = Map::new();
        for part in parts {
            if let Value::Object(more) = next(part, name) {
                whole.extend(more);
            }
        }
        return Value::Object(whole);
    }
    for choices in ["oneOf", "anyOf"] {
        let real = |s: &&Value| s["type"] != "null";
        if let Some(choice) = schema[choices].as_array().and_then(|c| c.iter().find(real)) {
            return next(choice, name);
        }
    }
    match kind_of(schema) {
        "object" => {
            let properties = schema["properties"].as_object();
            let members = properties.into_iter().flatten();
            members
                .map(|(name, schema)| (name.clone(), next(schema, name)))
                .collect()
        }
        "array" => json!([next(&schema["items"], name)]),
        "boolean" => true.into(),
        "integer" => integer(schema, name),
        "number" => json!(1.0),
        "string" => text(schema, name).into(),
        _ => Value::Null,
    }
}

fn kind_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            let kinds = kinds.iter().filter_map(Value::as_str);
            kinds.into_iter().find(|k| *k != "null").unwrap_or_default()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            if schema.get("properties").is_some() {
                "object"
            } else {
                ""
            }
        }
    }
}

fn integer(schema: &Value, name: &str) -> Value {
    let likely = if name.ends_with("_minor") { 15_000 } else { 1 };
    let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
    let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
    likely.max(least).min(most).into()
}

fn text(schema: &Value, name: &str) -> &'static str {
    match schema["format"].as_str().unwrap_or_default() {
        "date-time" => return MOMENT,
        "date" => return "2026-12-01",
        "uuid" => return "018f5e0a-7c1d-7a52-9f6e-0d2b6a4c8e11",
        "email" => return "chanda@example.com",
        "uri" | "url" => return "https://example.com/hook",
        _ => {}
    }
    let ends = |end: &str| name.ends_with(end);
    match name {
        _ if ends("currency") => "ZMW",
        _ if ends("phone") => "+260970000001",
        _ if ends("email") => "chanda@example.com",
        _ if ends("_at") || ends("until") => MOMENT,
        _ if ends("date") || ends("day") => "2026-12-01",
        _ if ends("zone") => "Africa/Lusaka",
        _ if ends("reference") => "7F3K22QX",
        "type" => "urn:mwimule:problem:bad-request",
        "from" | "stop" | "from_stop" | "station" | "code" => "LUN",
        "to" | "to_stop" => "LVI",
        "passengers" | "class" => "adult",
        _ if ends("name") => "Mutale Banda",
        _ if ends("url") => "https://example.com/hook",
        "Idempotency-Key" => "7f1c2f9e-0b1a-4a2e-9f53-6d1c1b1f0001",
        "If-Match" => "\"1\"",
        _ => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_own_example_comes_first_and_the_rest_follows_its_shape() {
        let schemas = json!({
            "Row": { "type": "object", "properties": {
                "fare_minor": { "type": "integer" },
                "currency": { "type": "string" },
                "seat": { "type": ["integer", "null"], "minimum": 3 },
                "state": { "type": "string", "enum": ["held", "paid"] },
                "code": { "type": "string", "example": "SOL" },
            }},
            "Loop": { "type": "object", "properties": { "next": { "$ref": "#/c/Loop" } } },
        });
        let page = json!({ "type": "object", "properties": {
            "items": { "type": "array", "items": { "$ref": "#/components/schemas/Row" } },
        }});
        assert_eq!(
            of(&page, "", &schemas),
            json!({ "items": [{
                "fare_minor": 15_000, "currency": "ZMW", "seat": 3, "state": "held", "code": "SOL",
            }]})
        );
        // A schema that holds itself ends somewhere.
        assert!(of(&json!({ "$ref": "#/c/Loop" }), "", &schemas).is_object());
    }
}
