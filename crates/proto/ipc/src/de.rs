//! Deserializer: reads the wanted attributes in order. Order matters, and the same name may stand twice in one list.

use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use crate::{Error, base64, list::Pair};

/// Walks over the pairs of one list.
pub struct Reader<'a> {
    pairs: &'a [Pair<'a>],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(pairs: &'a [Pair<'a>]) -> Self {
        Self { pairs, at: 0 }
    }

    /// Nothing may be left over.
    pub fn finish(&self) -> Result<(), Error> {
        match self.pairs.get(self.at) {
            None => Ok(()),
            Some(pair) => Err(unexpected(pair, "end of list")),
        }
    }

    fn wanted(&mut self, name: &str) -> Result<&'a [u8], Error> {
        match self.pairs.get(self.at) {
            Some(Pair::Attribute(found, value)) if names_agree(found, name) => {
                self.at += 1;
                Ok(value)
            }
            Some(other) => Err(unexpected(other, name)),
            None => Err(Error::Malformed(format!("missing attribute {name}"))),
        }
    }
}

/// `smtputf8` became `sendopts` in 3.10, at the same place. A trailing blank in the wanted name tells two fields of one
/// struct with the same wire name apart (Rust needs distinct names, the wire does not).
fn names_agree(found: &[u8], wanted: &str) -> bool {
    let wanted = wanted.trim_end();
    found == wanted.as_bytes() || (wanted == "sendopts" && found == b"smtputf8")
}

fn unexpected(pair: &Pair<'_>, wanted: &str) -> Error {
    let found = match pair {
        Pair::Attribute(name, _) => {
            String::from_utf8_lossy(name.get(..name.len().min(100)).unwrap_or(name)).into_owned()
        }
        Pair::Open => "{".into(),
        Pair::Close => "}".into(),
    };
    Error::Malformed(format!("unexpected attribute {found} (expecting: {wanted})"))
}

impl<'de> de::Deserializer<'de> for &mut Reader<'_> {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::Malformed("an attribute list is a struct".into()))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Fields { reader: self, fields: fields.iter() })
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<'r, 'a> {
    reader: &'r mut Reader<'a>,
    fields: std::slice::Iter<'static, &'static str>,
}

impl<'de> de::SeqAccess<'de> for Fields<'_, '_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(name) = self.fields.next() else { return Ok(None) };
        seed.deserialize(Value { reader: self.reader, name }).map(Some)
    }
}

struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    name: &'static str,
}

impl Value<'_, '_> {
    fn text(&mut self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(self.reader.wanted(self.name)?).into_owned())
    }

    fn number<T: TryFrom<i128>>(&mut self, bits: u32) -> Result<T, Error> {
        let text = self.text()?;
        let bad = || Error::Malformed(format!("bad number for {}", self.name));
        let value: i128 = text.parse().map_err(|_| bad())?;
        if value >= 1i128 << bits || value < -(1i128 << (bits - 1)) {
            return Err(bad());
        }
        T::try_from(value)
            .or_else(|_| T::try_from(value - (1i128 << bits)))
            .or_else(|_| T::try_from(value + (1i128 << bits)))
            .map_err(|_| bad())
    }
}

impl<'de> de::Deserializer<'de> for Value<'_, '_> {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.text()?)
    }
    fn deserialize_i32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i32(self.number(32)?)
    }
    fn deserialize_u32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u32(self.number(32)?)
    }
    fn deserialize_i64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_i64(self.number(64)?)
    }
    fn deserialize_u64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_u64(self.number(64)?)
    }
    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bool(self.number::<u32>(32)? != 0)
    }
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let value = self.reader.wanted(self.name)?;
        let bytes =
            base64::decode(value).ok_or_else(|| Error::Malformed(format!("bad base64 for {}", self.name)))?;
        visitor.visit_bytes(&bytes)
    }
    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.pairs.get(self.reader.at) {
            Some(Pair::Attribute(found, _)) if names_agree(found, self.name) => visitor.visit_some(self),
            _ => visitor.visit_none(),
        }
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_seq(Fields { reader: self.reader, fields: fields.iter() })
    }
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Repeated { reader: self.reader, name: self.name })
    }
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.reader.pairs.get(self.reader.at) {
            Some(Pair::Open) => self.reader.at += 1,
            other => {
                return Err(
                    other.map_or_else(|| Error::Malformed("missing hash".into()), |p| unexpected(p, "{"))
                );
            }
        }
        visitor.visit_map(Hash { reader: self.reader, value: None, count: 0 })
    }
    serde::forward_to_deserialize_any! {
        i8 i16 u8 u16 f32 f64 char str string byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// A sequence of inline structs runs to the end of the list.
struct Repeated<'r, 'a> {
    reader: &'r mut Reader<'a>,
    name: &'static str,
}

impl<'de> de::SeqAccess<'de> for Repeated<'_, '_> {
    type Error = Error;
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.reader.at >= self.reader.pairs.len() {
            return Ok(None);
        }
        seed.deserialize(Value { reader: self.reader, name: self.name }).map(Some)
    }
}

/// Entries of a hash: at most 1024 (`internal-protocols` §1.1).
const HASH_LIMIT: usize = 1024;

struct Hash<'r, 'a> {
    reader: &'r mut Reader<'a>,
    value: Option<&'a [u8]>,
    count: usize,
}

impl<'de> de::MapAccess<'de> for Hash<'_, '_> {
    type Error = Error;
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.count += 1;
        let pair = self.reader.pairs.get(self.reader.at).copied();
        self.reader.at += 1;
        match pair {
            Some(Pair::Attribute(name, value)) if self.count <= HASH_LIMIT => {
                self.value = Some(value);
                seed.deserialize(String::from_utf8_lossy(name).into_owned().into_deserializer()).map(Some)
            }
            Some(Pair::Close) => Ok(None),
            Some(_) => Err(Error::TooLarge),
            None => Err(Error::Malformed("unterminated hash".into())),
        }
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value = String::from_utf8_lossy(self.value.take().unwrap_or_default()).into_owned();
        seed.deserialize(value.into_deserializer())
    }
}
