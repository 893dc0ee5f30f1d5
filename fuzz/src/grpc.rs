//! The same messages as protobuf. The first byte chooses handshake, event, or version 1's event.
//!
//! - ids are bounded; an event that is understood has an address;
//! - version 2 shows each name of a header once, with all its values, in their order; version 1's
//!   map shows an entry for each of its keys; nothing is lost, nothing added.

use prost::Message as _;
use proto::sentinel::PayloadError;
use proto::sentinel::event::{HeaderSink, RequestHeaders};
use proto::sentinel::grpc::{self, v1, v2};
use proto::sentinel::limits::MAX_ID_BYTES;

pub fn check(data: &[u8]) {
    let Some((choice, message)) = data.split_first() else {
        return;
    };
    match choice % 3 {
        0 => {
            if let Ok(request) = v2::HandshakeRequest::decode(message) {
                check_handshake(&request);
            }
        }
        1 => {
            if let Ok(event) = v2::RequestHeadersEvent::decode(message) {
                check_event(&event);
            }
        }
        _ => {
            if let Ok(event) = v1::RequestHeadersEvent::decode(message) {
                check_event_v1(&event);
            }
        }
    }
}

fn check_handshake(request: &v2::HandshakeRequest) {
    match grpc::handshake(request) {
        Ok(hello) => {
            assert!(request.supported_versions.contains(&2));
            let names = [&hello.proxy_id, &hello.proxy_version]
                .into_iter()
                .flatten();
            names.for_each(|name| assert!((1..=MAX_ID_BYTES).contains(&name.len())));
            if let Some(config) = hello.config {
                super::push::check(config.as_bytes());
            }
        }
        Err(error) => super::check_error(&error),
    }
}

fn check_event(event: &v2::RequestHeadersEvent) {
    let mut seen = Seen::default();
    if !check_ids(&grpc::request_headers(event, &mut seen)) {
        assert!(seen.0.is_empty(), "refused, and yet shown");
        return;
    }
    for (index, (name, values)) in seen.0.iter().enumerate() {
        assert!(
            seen.0[..index].iter().all(|(other, _)| other != name),
            "{name:?} begins twice"
        );
        let sent = event.headers.iter().filter(|header| header.name == *name);
        let sent: Vec<_> = sent.map(|header| header.value.as_str()).collect();
        assert_eq!(values, &sent, "values of {name:?}");
    }
    assert_eq!(seen.values(), event.headers.len());
}

fn check_event_v1(event: &v1::RequestHeadersEvent) {
    let mut seen = Seen::default();
    if !check_ids(&grpc::request_headers_v1(event, &mut seen)) {
        assert!(seen.0.is_empty(), "refused, and yet shown");
        return;
    }
    assert_eq!(seen.0.len(), event.headers.len());
    let sent = event
        .headers
        .iter()
        .filter_map(|entry| entry.value.as_ref());
    assert_eq!(
        seen.values(),
        sent.map(|value| value.values.len()).sum::<usize>()
    );
}

/// Whether the event was understood.
fn check_ids(read: &Result<RequestHeaders<'_>, PayloadError>) -> bool {
    match read {
        Ok(event) => {
            assert!((1..=MAX_ID_BYTES).contains(&event.correlation_id.len()));
            let others = [&event.request_id, &event.client_ip, &event.traceparent];
            assert!(
                others
                    .into_iter()
                    .flatten()
                    .all(|id| id.len() <= MAX_ID_BYTES)
            );
            true
        }
        Err(error) => {
            super::check_error(error);
            false
        }
    }
}

#[derive(Default)]
struct Seen(Vec<(String, Vec<String>)>);

impl Seen {
    fn values(&self) -> usize {
        self.0.iter().map(|(_, values)| values.len()).sum()
    }
}

impl HeaderSink<'_> for Seen {
    fn begin(&mut self, name: &str) {
        self.0.push((name.to_owned(), Vec::new()));
    }

    fn value(&mut self, value: &str) {
        let (_, values) = self.0.last_mut().expect("a name begins before its values");
        values.push(value.to_owned());
    }
}
