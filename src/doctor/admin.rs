//! The admin listener: whether it answers, and what it says of readiness.

use config::{AdminAddress, Settings};

use super::finding::Examination;
use crate::status::ask;

pub(super) async fn look(settings: &Settings, examination: &mut Examination) {
    let AdminAddress::At(address) = settings.agent().admin.value else {
        return;
    };
    match ask::get(address, "/readyz").await {
        Ok((200, _)) => examination.well(format!("the agent is ready: {address}")),
        Ok((status, body)) => {
            let said = String::from_utf8_lossy(&body);
            examination.problem(
                "not-ready",
                "the agent says that it is not ready",
                &format!("{status} of http://{address}/readyz: {}", said.trim()),
                "it waits for a policy or for SPIRE: `status` says which",
            );
        }
        Err(error) => examination.warn(
            "admin-down",
            "the admin listener does not answer",
            &format!("{error:#}"),
            "is the agent up, and was its address free when it started? its log says where it listens",
        ),
    }
}
