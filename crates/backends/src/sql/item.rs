//! Items as rows.

use store::{Item, Key, Version};

/// Space, name, version and value.
pub(crate) type ItemRow = (String, String, i64, Vec<u8>);

/// The item that a row is.
pub(crate) fn item(key: Key, version: i64, value: Vec<u8>) -> Item {
    Item {
        key,
        version: Version(version.cast_unsigned()),
        value: value.into(),
    }
}

/// The items of `space` that the rows are, in order of name: sorted here, for databases differ in how they order text.
pub(crate) fn items(space: &str, rows: Vec<(String, i64, Vec<u8>)>) -> Vec<Item> {
    let key = |name| Key {
        space: space.to_owned(),
        name,
    };
    let mut items: Vec<_> = rows
        .into_iter()
        .map(|(name, version, value)| item(key(name), version, value))
        .collect();
    items.sort_by(|a, b| a.key.cmp(&b.key));
    items
}

/// The items that the rows are, as they come.
pub(crate) fn page_of_items(rows: Vec<ItemRow>) -> Vec<Item> {
    let item = |(space, name, version, value)| item(Key { space, name }, version, value);
    rows.into_iter().map(item).collect()
}
