//! Writes MessagePack, structs as maps: both proxies read those.

use serde::Serialize;

/// Appends `value`.
///
/// Values are our own messages, of strings, numbers, and maps whose length is known: the writer's
/// only errors are a failing sink, which a vector is not, and unknown lengths. Should one appear
/// all the same, half a message is worse than none: `out` is as it was, and an empty payload is a
/// message no client can take for an allow.
pub(super) fn append<T: Serialize>(out: &mut Vec<u8>, value: &T) {
    let start = out.len();
    let mut writer = rmp_serde::Serializer::new(&mut *out).with_struct_map();
    if value.serialize(&mut writer).is_err() {
        out.truncate(start);
    }
}
