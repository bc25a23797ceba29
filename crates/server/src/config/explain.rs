//! Every configuration key with its type, default and meaning, from the schema: for `config explain` and the reference.

use serde_json::Value;

use super::Config;

/// One key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The whole key, such as `edge.limits.stanza_bytes`; `[]` stands for each table of an array.
    pub(crate) key: String,
    /// Its type in words.
    pub(crate) kind: String,
    /// Its default, as TOML, if it has one.
    pub(crate) default: Option<String>,
    /// What it means.
    pub(crate) meaning: String,
}

/// Every key in order, modules included.
pub(crate) fn entries() -> Vec<Entry> {
    let schema = schemars::schema_for!(Config).to_value();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut all = Vec::new();
    walk(&schema, &schema, &defaults, "", &mut all);
    for row in modules::ALL {
        let key = format!("modules.{}", row.about.name);
        all.push(Entry {
            key: format!("{key}.enabled"),
            kind: "boolean".to_owned(),
            default: Some("true".to_owned()),
            meaning: format!("Whether the module is on: {}", row.about.summary),
        });
        let schema = row.schema().to_value();
        walk(&schema, &schema, &row.defaults(), &key, &mut all);
    }
    all
}

/// The keys of one table first, then those of the tables in it.
/// The keys of one table first, then those of the tables in it.
fn walk(root: &Value, schema: &Value, default: &Value, path: &str, all: &mut Vec<Entry>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    let mut tables = Vec::new();
    for (name, property) in properties {
        let key = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let default = default.get(name).unwrap_or(&Value::Null);
        let target = resolve(root, property);
        let items = target.get("items").map(|items| resolve(root, items));
        match items {
            _ if target.get("properties").is_some() => tables.push((target, default, key)),
            Some(items) if items.get("properties").is_some() => {
                tables.push((items, default.get(0).unwrap_or(&Value::Null), format!("{key}[]")));
            }
            _ => all.push(entry(property, target, default, key)),
        }
    }
    for (table, default, key) in tables {
        walk(root, table, default, &key, all);
    }
}

fn entry(property: &Value, target: &Value, default: &Value, key: String) -> Entry {
    let meaning = property
        .get("description")
        .or_else(|| target.get("description"))
        .and_then(Value::as_str)
        .unwrap_or("");
    let default = match default {
        Value::Null => None,
        Value::Object(map) if map.is_empty() => None,
        value => Some(value.to_string()),
    };
    Entry {
        key,
        kind: kind(target),
        default,
        meaning: meaning.replace('\n', " "),
    }
}

/// Follows `$ref`, and the one alternative of an optional setting that is not null.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(name) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        return root
            .get("$defs")
            .and_then(|defs| defs.get(name))
            .map_or(schema, |found| resolve(root, found));
    }
    let alternatives = schema.get("anyOf").and_then(Value::as_array);
    let real = alternatives.and_then(|all| {
        all.iter()
            .find(|one| one.get("type").and_then(Value::as_str) != Some("null"))
    });
    real.map_or(schema, |real| resolve(root, real))
}

fn kind(schema: &Value) -> String {
    if let Some(values) = schema
        .get("enum")
        .or_else(|| schema.get("oneOf"))
        .and_then(Value::as_array)
    {
        let name = |value: &Value| value.get("const").unwrap_or(value).as_str().unwrap_or("…").to_owned();
        return format!("one of {}", values.iter().map(name).collect::<Vec<_>>().join(", "));
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => "array".to_owned(),
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => kinds
            .iter()
            .filter_map(Value::as_str)
            .filter(|kind| *kind != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_meaning() {
        let silent: Vec<String> = entries()
            .into_iter()
            .filter(|entry| entry.meaning.is_empty())
            .map(|entry| entry.key)
            .collect();
        assert_eq!(silent, Vec::<String>::new());
    }
}
