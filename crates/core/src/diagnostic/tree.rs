//! Values that know their place in the text they were read from.

use std::ops::Range;

/// A value and the bytes it was written as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    /// A number as written.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) pairs: Vec<(Key, Value)>,
    /// Keys that occurred before; their values are not kept.
    pub(crate) repeated: Vec<Key>,
}

/// A key and the bytes it was written as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Range<usize>,
    pub(crate) text: String,
}

impl Value {
    /// The place of a part of a string. The whole string when it is written with escapes, so that the bytes of
    /// its text are not those of the file.
    pub(crate) fn inside(&self, part: Range<usize>) -> Range<usize> {
        match &self.kind {
            Kind::Text(text) if self.span.len() == text.len() + 2 && part.end <= text.len() => {
                let first = self.span.start + 1;
                first + part.start..first + part.end
            }
            _ => self.span.clone(),
        }
    }

    /// What the value is, for messages.
    pub(crate) fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "an array",
            Kind::Table(_) => "an object",
        }
    }
}

impl Table {
    /// The value of `key`; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let (_, value) = self.pairs.iter().find(|(known, _)| known.text == key)?;
        (value.kind != Kind::Null).then_some(value)
    }
}
