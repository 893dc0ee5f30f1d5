//! `--through`: a hop that forwards a client's own credential header, and one that does not.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use chaos::client::Request;

use super::common::Site;
use super::{POLICY, codes, doctor, found};

/// A hop and a proxy in one: asks the agent about one request, its headers treated as said.
fn hop(site: &Site, overwrites: bool, runtime: tokio::runtime::Handle) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let socket = site.socket();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = forwarded(&head(&mut stream), overwrites);
        runtime.block_on(async {
            let hello = chaos::client::Hello::default();
            let client = chaos::client::Client::connect(&socket, hello)
                .await
                .unwrap();
            client.ask(&request).await.unwrap();
        });
        stream
            .write_all(b"HTTP/1.1 401 Unauthorized\r\n\r\n")
            .unwrap();
    });
    url
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn forwarded(head: &str, overwrites: bool) -> Request {
    let mut request = Request::get("/orders");
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        let name = name.to_lowercase();
        if name == "x-forwarded-client-cert" && !overwrites {
            request = request.header(&name, value);
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
    for (overwrites, expected) in [(true, None), (false, Some("hop-forwards"))] {
        let url = hop(&site, overwrites, tokio::runtime::Handle::current());
        let through = ["--through", &url, "--records", records];
        let codes = codes(&doctor(&site, POLICY, &through));
        assert_eq!(codes.first().map(String::as_str), expected);
    }
    let nowhere = ["--through", "http://127.0.0.1:1/", "--records", records];
    assert_eq!(codes(&doctor(&site, POLICY, &nowhere)), ["probe-failed"]);
    agent.stop().await;
    let unseen = found(&site, POLICY, &["--through", "http://127.0.0.1:1/"]);
    assert_eq!(unseen, ["probe-unseen"]);
    // A hop whose route asks nobody.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    });
    let unasked = found(&site, POLICY, &["--through", &url, "--records", records]);
    assert_eq!(unasked, ["probe-unseen"]);
}
