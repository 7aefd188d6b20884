//! JSON objects in which a repeated name is an error.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// A map read from a JSON object; a repeated name is an error.
#[derive(Debug)]
pub(crate) struct UniqueMap<T>(pub(crate) BTreeMap<String, T>);

impl<T> UniqueMap<T> {
    /// Inserts an entry.
    pub(crate) fn insert<E: Error>(&mut self, name: String, value: T) -> Result<(), E> {
        match self.0.entry(name) {
            Entry::Vacant(slot) => slot.insert(value),
            Entry::Occupied(slot) => return Err(E::custom(format!("the name `{}` comes twice", slot.key()))),
        };
        Ok(())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for UniqueMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Map<T> {
            type Value = UniqueMap<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = UniqueMap(BTreeMap::new());
                while let Some((name, value)) = map.next_entry()? {
                    entries.insert(name, value)?;
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Map(PhantomData))
    }
}
