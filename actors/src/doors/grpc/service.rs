//! The calls of the door.

use std::sync::Arc;

use proto::sentinel::PayloadError;
use proto::sentinel::grpc::v1::agent_processor_server::{AgentProcessor, AgentProcessorServer};
use proto::sentinel::grpc::v2::agent_service_v2_server::{AgentServiceV2, AgentServiceV2Server};
use proto::sentinel::grpc::v2::proxy_to_agent::Message as Ask;
use proto::sentinel::grpc::zentinel::agent_service_v2_server::{
    AgentServiceV2 as ZentinelService, AgentServiceV2Server as ZentinelServer,
};
use proto::sentinel::grpc::{self, v1, v2};
use proto::sentinel::reply::{Reply, WebSocket};
use tokio::time::Instant;
use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_server::HealthServer;

use super::MESSAGE_MAX_BYTES;
use super::dialect::{V1, V2};
use super::health::Serving;
use super::stream::{self, Replies};
use crate::doors::budget::Owner;
use crate::doors::conversation::{Asking, Conversation, Dialect, Pushes, Question};
use crate::doors::{CAPABILITIES, Doors};

/// A health check names a service, and that is all, bytes.
const HEALTH_MESSAGE_MAX_BYTES: usize = 1_024;

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) doors: Arc<Doors>,
    peer: Arc<str>,
    pushes: Pushes,
    /// Cancelled when the caller is trusted no more.
    pub(super) standing: CancellationToken,
}

impl Caller {
    pub(super) fn new(doors: Arc<Doors>, peer: String, pushes: Pushes) -> Self {
        Self {
            doors,
            peer: peer.into(),
            pushes,
            standing: CancellationToken::new(),
        }
    }

    /// Whose its large messages are.
    pub(super) fn owner(&self) -> Owner {
        match &self.pushes {
            Pushes::Taken(peer) => Some(peer.clone()),
            Pushes::Closed => None,
        }
    }

    /// A conversation with it.
    pub(super) fn conversation(&self) -> Conversation {
        Conversation::new(Arc::clone(&self.doors), &self.peer, self.pushes.clone())
    }
}

/// Every service, for this caller.
pub(super) fn routes(caller: &Caller) -> Routes {
    let sentinel = Sentinel(caller.clone());
    let zentinel = Zentinel(caller.clone());
    let v1 = Version1(caller.clone());
    let health = Serving(caller.clone());
    Routes::new(AgentServiceV2Server::new(sentinel).max_decoding_message_size(MESSAGE_MAX_BYTES))
        .add_service(ZentinelServer::new(zentinel).max_decoding_message_size(MESSAGE_MAX_BYTES))
        .add_service(HealthServer::new(health).max_decoding_message_size(HEALTH_MESSAGE_MAX_BYTES))
        .add_service(AgentProcessorServer::new(v1).max_decoding_message_size(MESSAGE_MAX_BYTES))
}

struct Sentinel(Caller);

struct Zentinel(Caller);

struct Version1(Caller);

/// A proxy's side of `ControlStream` comes from us, and there is nothing to say.
type Silence = Empty<Result<v2::ProxyControl, Status>>;

fn no_control_stream() -> Status {
    Status::unimplemented(
        "ControlStream is not served: no proxy opens it (agent protocol, section 8)",
    )
}

#[tonic::async_trait]
impl AgentServiceV2 for Sentinel {
    type ProcessStreamStream = Replies;
    type ControlStreamStream = Silence;

    async fn process_stream(
        &self,
        request: Request<Streaming<v2::ProxyToAgent>>,
    ) -> Result<Response<Replies>, Status> {
        let replies = stream::open(&self.0, V2::Sentinel, request.into_inner());
        Ok(Response::new(replies))
    }

    async fn control_stream(
        &self,
        _: Request<Streaming<v2::AgentControl>>,
    ) -> Result<Response<Silence>, Status> {
        Err(no_control_stream())
    }

    async fn process_event(
        &self,
        request: Request<v2::ProxyToAgent>,
    ) -> Result<Response<v2::AgentToProxy>, Status> {
        one_event(&self.0, V2::Sentinel, request.into_inner()).await
    }
}

#[tonic::async_trait]
impl ZentinelService for Zentinel {
    type ProcessStreamStream = Replies;
    type ControlStreamStream = Silence;

    async fn process_stream(
        &self,
        request: Request<Streaming<v2::ProxyToAgent>>,
    ) -> Result<Response<Replies>, Status> {
        let replies = stream::open(&self.0, V2::Zentinel, request.into_inner());
        Ok(Response::new(replies))
    }

    async fn control_stream(
        &self,
        _: Request<Streaming<v2::AgentControl>>,
    ) -> Result<Response<Silence>, Status> {
        Err(no_control_stream())
    }

    async fn process_event(
        &self,
        request: Request<v2::ProxyToAgent>,
    ) -> Result<Response<v2::AgentToProxy>, Status> {
        one_event(&self.0, V2::Zentinel, request.into_inner()).await
    }
}

/// `ProcessEvent` of version 2: a call of its own, without a conversation around it, so the file's
/// policy decides.
async fn one_event(
    caller: &Caller,
    dialect: V2,
    ask: v2::ProxyToAgent,
) -> Result<Response<v2::AgentToProxy>, Status> {
    let answer = match ask.message {
        Some(Ask::Handshake(request)) => greet_alone(caller, &request)?,
        Some(Ask::RequestHeaders(event)) => one_answer(caller, dialect, &event).await?,
        Some(Ask::Ping(ping)) => stream::pong(&caller.doors, ping),
        _ => {
            let rule = "ProcessEvent takes a handshake, request headers or a ping (agent protocol, section 8)";
            caller.conversation().unreadable(&rule);
            return Err(Status::invalid_argument(rule));
        }
    };
    Ok(Response::new(answer))
}

fn greet_alone(
    caller: &Caller,
    request: &v2::HandshakeRequest,
) -> Result<v2::AgentToProxy, Status> {
    let conversation = caller.conversation();
    let invalid = |error: &dyn std::fmt::Display| {
        conversation.unreadable(&error);
        Status::invalid_argument(error.to_string())
    };
    let request = grpc::handshake(request).map_err(|error: PayloadError| invalid(&error))?;
    // It would govern nothing: the next call knows nothing of this one.
    if request.config.is_some_and(|config| config.trim() != "{}") {
        return Err(invalid(
            &"ProcessEvent takes no configuration: push it on a ProcessStream (agent protocol, section 8)",
        ));
    }
    Ok(grpc::accept(&CAPABILITIES))
}

/// The answer to a question that is a call of its own.
async fn one_answer<'a, D: Dialect>(
    caller: &Caller,
    dialect: D,
    question: impl Question<'a>,
) -> Result<D::Unit, Status> {
    let mut out = Vec::with_capacity(1);
    let at = Instant::now();
    match caller.conversation().ask(dialect, question, at, &mut out) {
        Asking::Answered => {}
        Asking::Pending(pending) => out = pending.answer().await,
    }
    // Every question is answered once; were it not, no answer is a denial.
    out.pop()
        .ok_or_else(|| Status::internal("the answer was left out"))
}

#[tonic::async_trait]
impl AgentProcessor for Version1 {
    async fn process_event(
        &self,
        request: Request<v1::AgentRequest>,
    ) -> Result<Response<v1::AgentResponse>, Status> {
        use v1::agent_request::Event;
        let caller = &self.0;
        let request = request.into_inner();
        let (event, websocket) = match &request.event {
            Some(Event::RequestHeaders(event)) => {
                return one_answer(caller, V1, event).await.map(Response::new);
            }
            Some(
                Event::RequestBodyChunk(event)
                | Event::ResponseHeaders(event)
                | Event::ResponseBodyChunk(event)
                | Event::RequestComplete(event),
            ) => (event, WebSocket::NotAsked),
            Some(Event::WebsocketFrame(event)) => (event, WebSocket::Allow),
            None => {
                let rule = "AgentRequest.event is missing (agent protocol, section 9)";
                caller.conversation().unreadable(&rule);
                return Err(Status::invalid_argument(rule));
            }
        };
        let reply = Reply {
            websocket,
            ..Reply::ALLOW
        };
        match grpc::other_event_v1(event) {
            Ok(id) => Ok(Response::new(grpc::response_v1(&reply, id))),
            Err(error) => {
                caller.conversation().unreadable(&error);
                Err(Status::invalid_argument(error.to_string()))
            }
        }
    }

    async fn process_event_stream(
        &self,
        _: Request<Streaming<v1::AgentRequest>>,
    ) -> Result<Response<v1::AgentResponse>, Status> {
        Err(Status::unimplemented(
            "ProcessEventStream is not served: request bodies are not judged (agent protocol, section 9)",
        ))
    }
}
