//! The proxies' client and pool code, as published, against a running agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use peers_clients::{Caller, World, pushed_policy, wrong_policy};

/// The same cases for both crates: equal names, different types.
macro_rules! cases {
    ($crate_name:ident) => {
        use std::sync::Arc;
        use std::time::Duration;

        use $crate_name::v2::{
            AgentClientV2, AgentClientV2Uds, AgentPool, AgentPoolConfig, CancelReason, UdsEncoding,
        };
        use $crate_name::{
            AgentResponse, Decision, HeaderOp, RequestBodyChunkEvent, RequestHeadersEvent,
            RequestMetadata, ResponseHeadersEvent,
        };

        use super::{Caller, World};

        const TIMEOUT: Duration = Duration::from_secs(10);

        fn event(caller: &Caller, correlation_id: &str) -> RequestHeadersEvent {
            RequestHeadersEvent {
                metadata: RequestMetadata {
                    correlation_id: correlation_id.to_owned(),
                    request_id: format!("request-{correlation_id}"),
                    client_ip: "127.0.0.1".to_owned(),
                    client_port: 40_000,
                    server_name: None,
                    protocol: "HTTP/1.1".to_owned(),
                    tls_version: None,
                    tls_cipher: None,
                    route_id: Some("api".to_owned()),
                    upstream_id: None,
                    timestamp: "2026-01-02T03:04:05Z".to_owned(),
                    traceparent: None,
                },
                method: "GET".to_owned(),
                uri: "/orders?id=7".to_owned(),
                headers: caller.headers(),
            }
        }

        /// Carries the answer out as the proxies do, and checks what is left.
        pub fn check(caller: &Caller, response: &AgentResponse) {
            let status = match &response.decision {
                Decision::Allow => 200,
                Decision::Block { status, .. } => *status,
                other => panic!("{}: neither allow nor block: {other:?}", caller.name),
            };
            let mut headers = caller.headers();
            for operation in &response.request_headers {
                match operation {
                    HeaderOp::Set { name, value } => {
                        headers.insert(name.to_lowercase(), vec![value.clone()]);
                    }
                    HeaderOp::Add { name, value } => {
                        headers.entry(name.to_lowercase()).or_default().push(value.clone());
                    }
                    HeaderOp::Remove { name } => {
                        headers.remove(&name.to_lowercase());
                    }
                }
            }
            let ids = headers.remove("x-spiffe-id").unwrap_or_default();
            caller.check(status, &ids);
        }

        pub async fn uds(socket: &str) -> AgentClientV2Uds {
            let client = AgentClientV2Uds::new("spiffe", socket, TIMEOUT).await.unwrap();
            client.connect().await.unwrap();
            client
        }

        pub async fn ask_uds(client: &AgentClientV2Uds, caller: &Caller, id: &str) {
            let response = client.send_request_headers(id, &event(caller, id)).await.unwrap();
            check(caller, &response);
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn uds_client() {
            let world = World::of_environment();
            let client = uds(&world.socket).await;
            let expected = if cfg!(feature = "msgpack") { UdsEncoding::MessagePack } else { UdsEncoding::Json };
            assert_eq!(client.encoding().await, expected);
            assert!(client.capabilities().await.is_some());
            for (number, caller) in world.callers.iter().enumerate() {
                ask_uds(&client, caller, &format!("uds-{number}")).await;
            }
            // Neither of these has an answer; the next request must have one.
            client.ping().await.unwrap();
            client.cancel_request("never-seen", CancelReason::ClientDisconnect).await.unwrap();
            ask_uds(&client, &world.callers[0], "uds-after").await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn uds_other_events_are_answered() {
            let world = World::of_environment();
            let client = uds(&world.socket).await;
            let chunk = RequestBodyChunkEvent {
                correlation_id: "chunk".to_owned(),
                data: "aGVsbG8=".to_owned(),
                is_last: true,
                total_size: Some(5),
                chunk_index: 0,
                bytes_received: 5,
            };
            let answer = client.send_request_body_chunk("chunk", &chunk).await.unwrap();
            assert!(matches!(answer.decision, Decision::Allow));
            let response = ResponseHeadersEvent {
                correlation_id: "response".to_owned(),
                status: 200,
                headers: Default::default(),
            };
            let answer = client.send_response_headers("response", &response).await.unwrap();
            assert!(matches!(answer.decision, Decision::Allow));
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn grpc_client() {
            let world = World::of_environment();
            let client = AgentClientV2::new("spiffe", &world.grpc, TIMEOUT).await.unwrap();
            client.connect().await.unwrap();
            for (number, caller) in world.callers.iter().enumerate() {
                let id = format!("grpc-{number}");
                let response = client.send_request_headers(&id, &event(caller, &id)).await.unwrap();
                check(caller, &response);
            }
            client.ping().await.unwrap();
            // A plaintext listener takes no pushes: the policy stays.
            let _ = client.send_configure(serde_json::json!({ "allowlist": { "any": true } }), None).await;
            for (number, caller) in world.callers.iter().enumerate() {
                let id = format!("grpc-after-{number}");
                if let Ok(response) = client.send_request_headers(&id, &event(caller, &id)).await {
                    check(caller, &response);
                }
            }
        }

        async fn through_a_pool(endpoint: &str, prefix: &str) {
            const REQUESTS: usize = 400;
            let world = World::of_environment();
            let pool = AgentPool::with_config(AgentPoolConfig { request_timeout: TIMEOUT, ..Default::default() });
            pool.add_agent("spiffe", endpoint).await.unwrap();
            assert!(pool.is_agent_healthy("spiffe"));
            let pool = Arc::new(pool);
            let mut asked = Vec::new();
            for number in 0..REQUESTS {
                let caller = world.callers[number % world.callers.len()].clone();
                let (pool, id) = (Arc::clone(&pool), format!("{prefix}-{number}"));
                asked.push(tokio::spawn(async move {
                    let response = pool.send_request_headers("spiffe", &id, &event(&caller, &id)).await;
                    check(&caller, &response.unwrap());
                }));
            }
            for task in asked {
                task.await.unwrap();
            }
            pool.shutdown().await.unwrap();
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn uds_pool() {
            through_a_pool(&World::of_environment().socket, "uds-pool").await;
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn grpc_pool() {
            through_a_pool(&World::of_environment().grpc, "grpc-pool").await;
        }
    };
}

mod zentinel {
    cases!(zentinel_agent_protocol);

    /// Only this crate delivers a configuration over the socket.
    #[tokio::test(flavor = "multi_thread")]
    async fn uds_pushed_policy_governs_its_connection() {
        let world = World::of_environment();
        let client = uds(&world.push_socket).await;
        let nothing_yet = Caller {
            status: 503,
            ..world.callers[0].clone()
        };
        ask_uds(&client, &nothing_yet, "before").await;

        let push = |config| serde_json::json!({ "config": config, "config_version": null });
        let answer = client
            .send_configure("wrong", &push(super::wrong_policy()))
            .await
            .unwrap();
        assert!(
            matches!(answer.decision, Decision::Block { .. }),
            "a wrong push is refused"
        );
        ask_uds(&client, &nothing_yet, "after-wrong").await;

        let answer = client
            .send_configure("right", &push(super::pushed_policy()))
            .await
            .unwrap();
        assert!(
            matches!(answer.decision, Decision::Allow),
            "a right push is taken: {answer:?}"
        );
        for (number, caller) in world.callers.iter().enumerate() {
            ask_uds(&client, caller, &format!("pushed-{number}")).await;
        }
        ask_uds(
            &uds(&world.push_socket).await,
            &nothing_yet,
            "another-connection",
        )
        .await;
    }
}

mod sentinel {
    use sentinel_agent_protocol::{AgentClient, EventType};

    cases!(sentinel_agent_protocol);

    /// Sentinel's proxies still choose version 1 per agent, on the same socket.
    #[tokio::test(flavor = "multi_thread")]
    async fn uds_version_1() {
        let world = World::of_environment();
        let mut client = AgentClient::unix_socket("spiffe", &world.socket, TIMEOUT)
            .await
            .unwrap();
        for (number, caller) in world.callers.iter().enumerate() {
            let event = event(caller, &format!("v1-{number}"));
            let response = client
                .send_event(EventType::RequestHeaders, &event)
                .await
                .unwrap();
            check(caller, &response);
        }
    }
}
