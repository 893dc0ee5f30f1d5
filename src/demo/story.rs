//! The story: who asks, while what happens to SPIRE, and what the documentation promises.

use chaos::ca::IssuedSvid;
use chaos::client::{Headers, Request};
use verdict::availability::Phase;
use verdict::policy::Mode;

use super::stage::Stage;
use super::table::{Expected, chapter, fits, note, row};
use crate::logging::say;

const FRONTEND: &str = "spiffe://example.org/frontend";
const PARTNER: &str = "spiffe://partner.test/billing";

/// Tells it; gives the number of answers that differ.
pub(super) async fn tell(stage: &mut Stage) -> anyhow::Result<usize> {
    say(
        "A simulated SPIRE serves the bundles of example.org and of partner.test, with which it is federated.",
    );
    say(&format!(
        "The agent listens on {}, with the documented policy.",
        stage.socket().display()
    ));
    let mut story = Story {
        stage,
        differences: 0,
    };
    story.everyday().await?;
    story.spoofed().await?;
    story.outage().await?;
    story.back().await?;
    story.rotation().await?;
    Ok(story.differences)
}

struct Story<'s> {
    stage: &'s mut Stage,
    differences: usize,
}

impl Story<'_> {
    async fn everyday(&mut self) -> anyhow::Result<()> {
        chapter("Who is calling, and may they?");
        let world = &self.stage.world;
        let frontend = world.svid(FRONTEND)?;
        let partner = world.svid(PARTNER)?;
        let forged = world.forged(FRONTEND)?;
        let expired = world.expired(FRONTEND)?;
        let mode = Mode::FailClosed;
        let headers = self
            .ask(
                mode,
                "example.org/frontend",
                &frontend,
                Expected::As(FRONTEND),
                "exact entry of the allowlist",
            )
            .await?;
        for (name, values) in headers
            .iter()
            .filter(|(name, _)| name.starts_with("x-spiffe") || name.starts_with("x-auth"))
        {
            note(&format!("{name}: {}", values.join(", ")));
        }
        let denied = |status, reason| Expected::Denied(status, reason);
        self.ask(
            mode,
            "partner.test/billing, not listed",
            &partner,
            denied(403, "NOT_ALLOWED"),
            "verified, and on no list",
        )
        .await?;
        self.ask(
            mode,
            "example.org/frontend, forged",
            &forged,
            denied(401, "UNTRUSTED"),
            "an attacker's key under the right names",
        )
        .await?;
        self.ask(
            mode,
            "example.org/frontend, expired",
            &expired,
            denied(401, "EXPIRED"),
            "right key, too late",
        )
        .await?;
        let nobody = Request::get("/api/orders");
        self.ask_with(
            mode,
            "no certificate at all",
            &nobody,
            denied(401, "NO_CREDENTIAL"),
            "tls.require-mtls is true",
        )
        .await?;
        Ok(())
    }

    async fn spoofed(&mut self) -> anyhow::Result<()> {
        chapter("A client that brings identity headers of its own");
        let frontend = self.stage.world.svid(FRONTEND)?;
        let request = Stage::request(&frontend)
            .header("x-spiffe-id", "spiffe://example.org/admin")
            .header("X_Spiffe_Id", "spiffe://example.org/admin");
        let headers = self
            .ask_with(
                Mode::FailClosed,
                "frontend, claiming to be admin",
                &request,
                Expected::As(FRONTEND),
                "removed, then set by us",
            )
            .await?;
        if headers
            .values()
            .flatten()
            .any(|value| value.ends_with("/admin"))
        {
            self.differences += 1;
            note("DIFF: a spoofed identity header reached the upstream");
        }
        Ok(())
    }

    async fn outage(&mut self) -> anyhow::Result<()> {
        chapter("SPIRE goes away: an interruption at first, then an outage");
        self.stage.lose_spire().await?;
        self.stage.reached(Phase::Interrupted).await?;
        let frontend = self.stage.world.svid(FRONTEND)?;
        let forged = self.stage.world.forged(FRONTEND)?;
        self.ask(
            Mode::FailClosed,
            "frontend, SPIRE just lost",
            &frontend,
            Expected::As(FRONTEND),
            "interrupted: still verified",
        )
        .await?;
        self.stage.reached(Phase::Outage).await?;
        let refused = Expected::Denied(503, "TRUST_UNAVAILABLE");
        self.ask(
            Mode::FailClosed,
            "frontend, fail_closed",
            &frontend,
            refused,
            "outage: refuse everybody",
        )
        .await?;
        self.ask(
            Mode::Cache,
            "frontend, cache",
            &frontend,
            Expected::As(FRONTEND),
            "outage: verified by the last bundles",
        )
        .await?;
        self.ask(
            Mode::Cache,
            "forged, cache",
            &forged,
            Expected::Denied(401, "UNTRUSTED"),
            "and by nothing less",
        )
        .await?;
        self.ask(
            Mode::FailOpen,
            "frontend, fail_open",
            &frontend,
            Expected::As(FRONTEND),
            "verified where it can be",
        )
        .await?;
        let open = Expected::Unverified("unverified-fail-open");
        self.ask(
            Mode::FailOpen,
            "forged, fail_open",
            &forged,
            open,
            "let pass, with no identity header",
        )
        .await?;
        Ok(())
    }

    async fn back(&mut self) -> anyhow::Result<()> {
        chapter("SPIRE comes back");
        self.stage.return_spire()?;
        self.stage.reached(Phase::Live).await?;
        let frontend = self.stage.world.svid(FRONTEND)?;
        let forged = self.stage.world.forged(FRONTEND)?;
        self.ask(
            Mode::FailClosed,
            "frontend, fail_closed",
            &frontend,
            Expected::As(FRONTEND),
            "live again, by itself",
        )
        .await?;
        self.ask(
            Mode::FailOpen,
            "forged, fail_open",
            &forged,
            Expected::Denied(401, "UNTRUSTED"),
            "open no longer",
        )
        .await?;
        Ok(())
    }

    async fn rotation(&mut self) -> anyhow::Result<()> {
        chapter("The root of example.org is replaced");
        let before = self.stage.world.svid(FRONTEND)?;
        self.stage.rotate().await?;
        let after = self.stage.world.svid(FRONTEND)?;
        let mode = Mode::FailClosed;
        self.ask(
            mode,
            "frontend, signed by the new root",
            &after,
            Expected::As(FRONTEND),
            "followed at once",
        )
        .await?;
        self.ask(
            mode,
            "frontend, signed by the old root",
            &before,
            Expected::Denied(401, "UNTRUSTED"),
            "what was remembered is forgotten",
        )
        .await?;
        Ok(())
    }

    async fn ask(
        &mut self,
        mode: Mode,
        asked: &str,
        svid: &IssuedSvid,
        expected: Expected,
        why: &str,
    ) -> anyhow::Result<Headers> {
        self.ask_with(mode, asked, &Stage::request(svid), expected, why)
            .await
    }

    /// Asks, prints the row, and gives the headers as the upstream gets them.
    async fn ask_with(
        &mut self,
        mode: Mode,
        asked: &str,
        request: &Request,
        expected: Expected,
        why: &str,
    ) -> anyhow::Result<Headers> {
        let answer = self.stage.ask(mode, request).await?;
        let headers = answer.upstream_headers(&request.headers);
        let header = |name: &str| headers.get(name).map(|values| values.join(", "));
        let difference = (!fits(expected, &answer, &header)).then_some(expected);
        self.differences += usize::from(difference.is_some());
        row(asked, &answer, why, difference);
        Ok(headers)
    }
}
