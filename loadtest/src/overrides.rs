//! What the command line changes in a scenario before it is read: `users = 500`, `phase.hold.for = 5m`.

use toml::{Table, Value};

/// What is to be changed: a path of keys, and the new value as TOML, or as text if it is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// Keys; an entry of a list is called by its `name`, or by its place from 0.
    pub path: Vec<String>,
    /// The value.
    pub value: Value,
}

/// A change that cannot be made; says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `KEY=VALUE`.
    #[error("`{0}` is not KEY=VALUE, such as users=500 or phase.hold.for=5m")]
    Form(String),
    /// No such place.
    #[error("`{path}`: there is no `{key}` in the scenario{known}")]
    Place {
        /// The whole path.
        path: String,
        /// The key that is not there.
        key: String,
        /// What is there instead.
        known: String,
    },
}

impl std::str::FromStr for Override {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (path, value) = text.split_once('=').ok_or_else(|| Error::Form(text.to_owned()))?;
        let path: Vec<String> = path.trim().split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(Error::Form(text.to_owned()));
        }
        Ok(Self {
            path,
            value: read(value.trim()),
        })
    }
}

impl Override {
    /// A change of the value at a path, such as `server.domain`.
    pub fn new(path: &str, value: impl Into<Value>) -> Self {
        Self {
            path: path.split('.').map(str::to_owned).collect(),
            value: value.into(),
        }
    }

    /// Makes the change. Tables that are missing are made; entries of lists are not.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn apply(&self, table: &mut Table) -> Result<(), Error> {
        let Some((last, before)) = self.path.split_last() else {
            return Ok(());
        };
        let mut place = table;
        let mut keys = before.iter();
        while let Some(key) = keys.next() {
            let value = place.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            place = match value {
                Value::Table(table) => table,
                Value::Array(entries) => {
                    let name = keys.next().unwrap_or(last);
                    let known = names(entries);
                    let at = find(entries, name).ok_or_else(|| self.missing(name, &known))?;
                    entries[at].as_table_mut().ok_or_else(|| self.missing(name, ""))?
                }
                _ => return Err(self.missing(key, "")),
            };
        }
        place.insert(last.clone(), self.value.clone());
        Ok(())
    }

    fn missing(&self, key: &str, known: &str) -> Error {
        Error::Place {
            path: self.path.join("."),
            key: key.to_owned(),
            known: if known.is_empty() {
                String::new()
            } else {
                format!(": there are {known}")
            },
        }
    }
}

/// The value as TOML has it, else the text.
fn read(text: &str) -> Value {
    let read = format!("value = {text}").parse::<Table>();
    let value = read.ok().and_then(|mut table| table.remove("value"));
    // What is not between quotes yet looks like a date is a text all the same: none of the values is a date.
    let value = value.filter(|value| !matches!(value, Value::Datetime(_)));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn find(entries: &[Value], name: &str) -> Option<usize> {
    let is_called = |entry: &Value| entry.get("name").and_then(Value::as_str) == Some(name);
    let at = entries.iter().position(is_called).or_else(|| name.parse().ok())?;
    (at < entries.len()).then_some(at)
}

fn names(entries: &[Value]) -> String {
    let named = entries.iter().filter_map(|entry| entry.get("name")?.as_str());
    named.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "users = 5\n[[phase]]\nname = 'ramp'\n[[phase]]\nname = 'hold'\nfor = '1m'\n";

    fn check(change: &str, expected: &str) {
        let mut table: Table = TEXT.parse().unwrap();
        let done = change.parse::<Override>().and_then(|change| change.apply(&mut table));
        let shown = done.map_or_else(|error| error.to_string(), |()| toml::to_string(&table).unwrap());
        assert!(shown.contains(expected), "{change}\n{shown}");
    }

    #[test]
    fn values_are_changed_at_their_place() {
        check("users=500", "users = 500");
        check("server.domain=example.org", "[server]\ndomain = \"example.org\"");
        check("phase.hold.for=5m", "for = \"5m\"\nname = \"hold\"");
        check("phase.0.pace=2.5", "name = \"ramp\"\npace = 2.5");
        check("server.targets=['a:1','b:2']", "targets = [\"a:1\", \"b:2\"]");
    }

    #[test]
    fn what_cannot_be_changed_is_said() {
        check("users", "`users` is not KEY=VALUE");
        check(
            "phase.held.for=5m",
            "there is no `held` in the scenario: there are ramp, hold",
        );
        check("users.x.y=5", "there is no `users` in the scenario");
    }
}
