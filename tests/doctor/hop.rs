//! `--through`: a hop that forwards a client's own credential header, and one that does not.

use std::path::Path;
use std::sync::Arc;

use chaos::ca::{Authority, AuthorityOptions, IssuedSvid, SvidOptions};
use chaos::client::{Client, Hello, Request};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::common::{FRONTEND, Site};
use super::{POLICY, codes, doctor, found};

/// What a hop does with a request.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Delete,
    /// As the real ones do, by a credential of its own.
    Overwrite,
    Forward,
    /// Puts its own behind the client's.
    Append,
    /// Overwrites, and lets no name of the request through.
    Rename,
    /// Answers by itself.
    Nothing,
}

/// A hop and a proxy in one, for one request.
async fn hop(site: &Site, does: Does) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let socket = site.socket();
    let own = site.world.svid(FRONTEND).unwrap().xfcc();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, &socket, does, &own).await;
    });
    format!("http://{address}/orders")
}

async fn serve<T>(mut stream: T, socket: &Path, does: Does, own: &str)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_buf(&mut head).await.unwrap();
    }
    let head = String::from_utf8(head).unwrap();
    if does != Does::Nothing {
        let client = Client::connect(socket, Hello::default()).await.unwrap();
        client.ask(&forwarded(&head, does, own)).await.unwrap();
    }
    let answer = b"HTTP/1.1 401 Unauthorized\r\n\r\n";
    stream.write_all(answer).await.unwrap();
    stream.flush().await.unwrap();
}

fn forwarded(head: &str, does: Does, own: &str) -> Request {
    let mut request = Request::get("/orders");
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        match name.to_lowercase().as_str() {
            "x-forwarded-client-cert" => {
                request = match does {
                    Does::Forward => request.header(name, value),
                    Does::Overwrite => request.header(name, own),
                    Does::Append => request.header(name, format!("{value},{own}")),
                    Does::Delete | Does::Rename | Does::Nothing => request,
                };
            }
            // As the proxies do: the trace is what the request is known by.
            "x-trace-id" if does != Does::Rename => request = request.with_id(value),
            _ => {}
        }
    }
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_forwards_a_forged_header_is_found_out() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let records = site.path("audit.jsonl");
    let records = records.to_str().unwrap();
    for (does, expected) in [
        (Does::Delete, None),
        (Does::Overwrite, None),
        (Does::Forward, Some("hop-forwards")),
        // Records of others, which a busy agent always has, say nothing of the probe.
        (Does::Rename, Some("probe-unseen")),
        (Does::Nothing, Some("probe-unseen")),
    ] {
        let url = hop(&site, does).await;
        let through = ["--through", &url, "--records", records];
        let codes = codes(&doctor(&site, POLICY, &through));
        assert_eq!(codes.first().map(String::as_str), expected);
    }
    // Of another policy it is not known which header it reads.
    let other = POLICY.replace("xfcc-element \"only\"", "client-cert-header \"X-Other\"");
    for config in [other.as_str(), "agent { accept-pushed-config #true }\n"] {
        let url = hop(&site, Does::Delete).await;
        let through = ["--through", &url, "--records", records];
        let codes = codes(&doctor(&site, config, &through));
        assert!(codes.contains(&"probe-unseen".to_owned()), "{codes:?}");
    }
    for nowhere in [
        "http://127.0.0.1:1/",
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://a b/",
    ] {
        let nowhere = ["--through", nowhere, "--records", records];
        assert_eq!(codes(&doctor(&site, POLICY, &nowhere)), ["probe-failed"]);
    }
    // What is refused for another reason clears no hop.
    let url = hop(&site, Does::Append).await;
    let appends = codes(&doctor(
        &site,
        POLICY,
        &["--through", &url, "--records", records],
    ));
    assert_eq!(appends, ["hop-appends"]);
    agent.stop().await;
    let unseen = found(&site, POLICY, &["--through", "http://127.0.0.1:1/"]);
    assert_eq!(unseen, ["probe-unseen"]);
    // Where records go to standard output there is no file to name.
    let told = doctor(&site, POLICY, &["--through", "http://127.0.0.1:1/"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("records go to standard output"), "{told}");
    assert!(told.contains("journalctl -f -o cat"), "{told}");
}

/// A hop that wants a certificate of this authority from everybody.
fn strict(authority: &Authority, svid: &IssuedSvid) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in authority.anchors() {
        roots.add(anchor.clone().into()).unwrap();
    }
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = vec![CertificateDer::from(svid.leaf_der().to_vec())];
    let key = PrivateKeyDer::try_from(svid.key_pkcs8_der().to_vec()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// As `inspect --write` leaves them.
fn written(site: &Site, svid: &IssuedSvid) -> String {
    let pem = |label, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let dir = site.path("svids");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("svid.0.pem"), svid.chain_pem()).unwrap();
    let key = pem("PRIVATE KEY", svid.key_pkcs8_der());
    std::fs::write(dir.join("svid.0.key"), key).unwrap();
    dir.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_that_speaks_tls_alone_and_wants_a_certificate_is_asked_too() {
    let site = Site::new();
    let agent = site.live(POLICY).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let authority = Authority::new("example.org", AuthorityOptions::at(now)).unwrap();
    let svid = authority
        .issue("spiffe://example.org/hop", &SvidOptions::at(now))
        .unwrap();
    let acceptor = strict(&authority, &svid);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody's certificate is for that name, and the SVID names no host at all.
    let url = format!(
        "https://localhost:{}/orders",
        listener.local_addr().unwrap().port()
    );
    let socket = site.socket();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, &socket, Does::Forward, "").await;
            }
        }
    });
    let records = site.path("audit.jsonl");
    let probe = ["--through", &url, "--records", records.to_str().unwrap()];
    let refused = doctor(&site, POLICY, &probe);
    assert_eq!(codes(&refused), ["probe-failed"]);
    let text = String::from_utf8_lossy(&refused.stdout);
    assert!(
        text.contains("--client-svid") && text.contains("CertificateRequired"),
        "{text}"
    );
    let svids = written(&site, &svid);
    let as_client = [&probe[..], &["--client-svid", &svids]].concat();
    assert_eq!(
        codes(&doctor(&site, POLICY, &as_client)).first().unwrap(),
        "hop-forwards"
    );
    agent.stop().await;
}
