//! The JSON Schema of what the command line prints, and a check against it.
//!
//! The check knows the keywords that the schema uses and refuses any other, so that none can be
//! written there and silently not be enforced. (The `jsonschema` crate would bring sixty others.)

use serde_json::Value;

/// The schema: `schema/thalweg.schema.json`.
pub const SCHEMA: &str = include_str!("../schema/thalweg.schema.json");

/// Checks the text of a reply against [`SCHEMA`].
///
/// # Errors
/// What is wrong and where, in one sentence.
pub fn check(text: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))?;
    let schema: Value =
        serde_json::from_str(SCHEMA).map_err(|error| format!("no schema: {error}"))?;
    validate(&value, &schema, &schema, "$")
}

fn validate(value: &Value, schema: &Value, root: &Value, at: &str) -> Result<(), String> {
    let rules = schema.as_object().ok_or_else(|| format!("{at}: the schema is no object"))?;
    for (keyword, rule) in rules {
        let fails = |what: String| Err(format!("{at}: {what}, got {value}"));
        match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = rule.as_str().and_then(|text| text.strip_prefix('#'));
                let target = pointer
                    .and_then(|pointer| root.pointer(pointer))
                    .ok_or_else(|| format!("{at}: no definition {rule}"))?;
                validate(value, target, root, at)?;
            }
            "oneOf" => {
                let branches = rule.as_array().map(Vec::as_slice).unwrap_or_default();
                let results: Vec<_> =
                    branches.iter().map(|branch| validate(value, branch, root, at)).collect();
                let matching = results.iter().filter(|result| result.is_ok()).count();
                if matching != 1 {
                    let reasons: Vec<_> = results.into_iter().filter_map(Result::err).collect();
                    return Err(format!(
                        "{at}: {matching} of {} alternatives match ({})",
                        branches.len(),
                        reasons.join("; ")
                    ));
                }
            }
            "type" => {
                let matches = |name: &Value| name.as_str().is_some_and(|n| is_type(value, n));
                let ok = rule.as_array().map_or_else(|| matches(rule), |l| l.iter().any(matches));
                if !ok {
                    return fails(format!("expected type {rule}"));
                }
            }
            "const" if value != rule => return fails(format!("expected {rule}")),
            "const" => {}
            "enum" => {
                if !rule.as_array().is_some_and(|list| list.contains(value)) {
                    return fails(format!("expected one of {rule}"));
                }
            }
            "minimum" => {
                if let (Some(number), Some(least)) = (value.as_f64(), rule.as_f64())
                    && number < least
                {
                    return fails(format!("expected at least {rule}"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(item, rule, root, &format!("{at}[{index}]"))?;
                }
            }
            "required" => {
                if let Some(object) = value.as_object() {
                    for name in rule.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        if !object.contains_key(name) {
                            return Err(format!("{at}: key {name} is missing"));
                        }
                    }
                }
            }
            "properties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        validate(item, rule, root, &format!("{at}.{name}"))?;
                    }
                }
            }
            "additionalProperties" if *rule == Value::Bool(false) => {
                let known = rules.get("properties").and_then(Value::as_object);
                for name in value.as_object().into_iter().flat_map(|object| object.keys()) {
                    if !known.is_some_and(|known| known.contains_key(name)) {
                        return Err(format!("{at}: key {name} is not in the schema"));
                    }
                }
            }
            other => return Err(format!("{at}: the schema uses {other}, unknown to this check")),
        }
    }
    Ok(())
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|v| v.fract() == 0.0)
        }
        _ => false,
    }
}
