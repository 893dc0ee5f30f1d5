//! From a request to its response.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::guard::{Asked, Reader, Refusal, Resource, admit};
use super::pace::Asker;
use super::places::Kind;
use super::probes::{Probe, Report};
use super::{Admin, events, page};
use std::sync::Arc;

/// What a response carries.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// On every response. Nothing is kept by anybody, nothing is guessed, nobody else may show or read it.
const ALWAYS: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// What a browser says of who sent it here (Fetch Metadata Request Headers, 2).
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a response that is no page may load: nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

/// The response; `kind` is told where it is a stream.
pub(super) async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    admin: Arc<Admin>,
    kind: Kind,
) -> Response<Body> {
    let (resource, told) = match asked(&request, peer, admin.address) {
        Ok(asked) => asked,
        Err(response) => return *response,
    };
    let takes_turns = match resource {
        Resource::Metrics | Resource::Status | Resource::Page => true,
        Resource::Live | Resource::Ready | Resource::Health | Resource::Events => false,
    };
    let asker = Asker::new(peer.ip(), resource);
    if takes_turns && admin.pace.turn(asker).await.is_err() {
        return later(
            "1",
            "you ask for more than your share of the 20 pages a second that are made here\n",
        );
    }
    show(resource, told, &admin, &kind)
}

/// How much a probe says.
#[derive(Clone, Copy, Debug)]
struct Told {
    verbose: bool,
    reader: Reader,
}

/// What is asked for, and how much is told; or the response that says why not.
fn asked(
    request: &Request<Incoming>,
    peer: SocketAddr,
    listener: SocketAddr,
) -> Result<(Resource, Told), Box<Response<Body>>> {
    if !request.body().is_end_stream() {
        let why = "a request here has no body\n";
        return Err(Box::new(text(StatusCode::PAYLOAD_TOO_LARGE, why)));
    }
    let query = request.uri().query();
    let verbose = query.is_some_and(|query| query.contains("verbose"));
    let headers = request.headers();
    let asked = Asked {
        peer: peer.ip(),
        listener: listener.ip(),
        method: request.method().as_str(),
        path: request.uri().path(),
        verbose,
        host: said(headers, &HOST),
        origin: said(headers, &ORIGIN),
        site: said(headers, &SITE),
        dest: said(headers, &DEST),
    };
    let reader = Reader::of(asked.peer, asked.host);
    let resource = admit(asked).map_err(|refusal| Box::new(refuse(refusal)))?;
    Ok((resource, Told { verbose, reader }))
}

/// Not now.
fn later(after_s: &'static str, why: &str) -> Response<Body> {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, why);
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from_static(after_s));
    response
}

/// What a header says, if it is there; nothing that counts if it is there twice, or is no text.
fn said<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => None,
        (Some(one), None) => Some(one.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Some(""),
    }
}

fn show(resource: Resource, told: Told, admin: &Arc<Admin>, kind: &Kind) -> Response<Body> {
    let subject = &admin.subject;
    let probe = |probe| report(&Report::of(&subject.doors, probe), told);
    match resource {
        Resource::Live => probe(Probe::Live),
        Resource::Ready => probe(Probe::Ready),
        Resource::Health => probe(Probe::Health),
        Resource::Metrics => match subject.metrics.get() {
            Some(text) => whole(StatusCode::OK, PROMETHEUS, text()),
            None => text(StatusCode::NOT_FOUND, "this agent renders no metrics\n"),
        },
        Resource::Status => match admin.latest.json(subject) {
            Ok(json) => whole(StatusCode::OK, JSON, json),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        },
        Resource::Page => {
            let mut response = whole(StatusCode::OK, HTML, page::render(subject));
            guard_page(response.headers_mut());
            response
        }
        Resource::Events => {
            let stream = events::open(admin, admin.streams.open(kind));
            with_headers(StatusCode::OK, "text/event-stream", stream)
        }
    }
}

fn guard_page(headers: &mut HeaderMap) {
    if let Ok(policy) = HeaderValue::from_str(page::content_security_policy()) {
        headers.insert(http::header::CONTENT_SECURITY_POLICY, policy);
    }
}

fn report(report: &Report<'_>, told: Told) -> Response<Body> {
    let status = match report.passed {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(status, &report.text(told.verbose, told.reader))
}

fn refuse(refusal: Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::FORBIDDEN);
    let mut response = text(status, &format!("{refusal}\n"));
    if refusal == Refusal::Method {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    whole(status, TEXT, text.to_owned())
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    with_headers(status, kind, Full::new(body.into()).boxed_unsync())
}

fn with_headers(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(NOTHING),
    );
    for (name, value) in ALWAYS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}
