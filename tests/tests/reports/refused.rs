//! What is not taken, and from whom.

use anyhow::{Result, ensure};
use crik_api::report::{LAST_REPORT, Occasion, What};
use crik_tests::control_plane::TokenRequest;
use crik_tests::controller::Controller;
use crik_tests::http::{get, post_as};
use crik_tests::wait::wait_for;

use crate::agent::{examined, failed, text};
use crate::{APP, Cluster, alone};

#[test]
fn nobody_reports_for_a_pod_but_the_pod_itself() -> Result<()> {
    let cluster = Cluster::shared()?;
    let everywhere = ["--allow-all-nodes-for", "system:serviceaccount:default:app"];
    let (agent, other) = (cluster.agent("forged")?, cluster.agent("forger")?);
    let unbound = cluster.plane.token(APP, TokenRequest { audience: "crik", ..TokenRequest::default() })?;
    let elsewhere =
        cluster.plane.token(APP, TokenRequest { audience: "other", pod: "forged", seconds: 0 })?;
    let before = agent.object()?;
    let guarded = [&everywhere[..], &["--auth", "token"]].concat();
    for flags in [&everywhere[..], &guarded[..]] {
        let controller = alone(&cluster, flags)?;
        for (token, status) in
            [("", 401), ("nonsense", 401), (&*elsewhere, 401), (&*unbound, 403), (&*other.token, 403)]
        {
            let answer = post_as(token, &agent.url(&controller), &text(1, failed(Occasion::Stop)))?;
            ensure!(answer.status == status, "{token}: {} {}", answer.status, answer.body);
        }
        ensure!(controller.metric("crik_reports_total{result=\"taken\"}")? < 0.5);
    }
    ensure!(agent.object()? == before, "the pod was changed");
    agent.has_events(&[])
}

#[test]
fn the_token_of_a_pod_that_is_gone_says_nothing_of_the_next_one_of_its_name() -> Result<()> {
    let cluster = Cluster::shared()?;
    // One that has found the token good, and believes that for an hour.
    let controller = alone(&cluster, &["--token-ttl", "1h"])?;
    let old = cluster.agent("again")?;
    old.tells(&controller, 1, examined(true))?;
    cluster.plane.kubectl(&["delete", "pod", "again", "--force", "--grace-period=0", "--wait=false"])?;
    let new = wait_for("the name to be free", || cluster.agent("again").ok())?;
    let answer = old.send(&controller, 2, failed(Occasion::Stop))?;
    ensure!(
        answer.status == 403 && answer.json()["code"] == "no-such-pod",
        "{} {}",
        answer.status,
        answer.body
    );
    ensure!(new.says(LAST_REPORT)?.is_null());
    new.tells(&controller, 1, examined(true))?;
    new.has_events(&[])
}

#[test]
fn what_is_no_report_is_refused_and_a_later_word_is_none_of_that() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &[])?;
    let agent = cluster.agent("garbage")?;
    let large = text(1, What::ToldToStop { why: "x".repeat(17 << 10) });
    for (body, status, code) in [
        (&*large, 413, "body-too-large"),
        ("", 400, "invalid-request"),
        ("{", 400, "invalid-request"),
        (r#"{"what":"stayed"}"#, 400, "invalid-request"),
        (r#"{"id":{"began":-1,"number":1},"what":"stayed"}"#, 400, "invalid-request"),
    ] {
        let answer = agent.post(&controller, body)?;
        ensure!(
            answer.status == status && answer.json()["code"] == code,
            "{} {}",
            answer.status,
            answer.body
        );
    }
    ensure!(agent.says(LAST_REPORT)?.is_null());
    let later = r#"{"id":{"began":1,"number":1},"what":"hibernated","depth":3}"#;
    ensure!(agent.post(&controller, later)?.status == 204);
    ensure!(agent.says(LAST_REPORT)?["number"] == 1);
    agent.has_events(&[])?;
    let lying =
        r#"{"id":{"began":1,"number":2},"what":"resumed","generation":1,"seconds":-5,"savedSeconds":1e300}"#;
    ensure!(agent.post(&controller, lying)?.status == 204);
    ensure!(controller.metric("crik_saved_seconds_total")? < 1e8, "one report spoils the sum");
    let asked = get(&agent.url(&controller))?;
    ensure!(asked.status == 405 && asked.header("allow") == "POST", "{} {}", asked.status, asked.body);
    let elsewhere = post_as(&agent.token, &controller.url("/v1/nodes"), "{}")?;
    ensure!(elsewhere.status == 413, "{}", elsewhere.status);
    Ok(())
}

#[test]
fn a_pod_that_reports_too_often_is_told_to_wait_and_no_other_one_is() -> Result<()> {
    let cluster = Cluster::shared()?;
    let controller = alone(&cluster, &[])?;
    let (agent, other) = (cluster.agent("chatty")?, cluster.agent("quiet")?);
    let refused = wait_for("a report to be too many", || {
        let answer = agent.send(&controller, 1, What::Stayed).ok()?;
        (answer.status != 204).then_some(answer)
    })?;
    ensure!(refused.status == 429 && refused.tells_to_wait(), "{} {}", refused.status, refused.body);
    ensure!(controller.metric("crik_reports_total{result=\"too-often\"}")? > 0.5);
    other.tells(&controller, 1, What::Stayed)?;
    wait_for("it may report again", || {
        (agent.send(&controller, 2, What::Stayed).ok()?.status == 204).then_some(())
    })
}

#[test]
fn nothing_is_taken_or_told_where_it_is_not_wanted() -> Result<()> {
    let cluster = Cluster::shared()?;
    let agent = cluster.agent("off")?;
    let controller = Controller::watching(&cluster.kubeconfig, &[])?;
    let answer = agent.send(&controller, 1, examined(true))?;
    ensure!(answer.status == 404 && answer.json()["code"] == "reports-not-served", "{}", answer.body);
    let answer = get(&controller.url("/v1/workloads"))?;
    ensure!(answer.status == 404 && answer.json()["code"] == "workloads-not-served", "{}", answer.body);
    ensure!(agent.says(LAST_REPORT)?.is_null());
    Ok(())
}
