//! What is asked of a registry, and of which; each by a registry on this machine that says what the test wants.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use ::ring::digest::{SHA256, digest};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, header};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// What is at a path, and what else is said with it.
#[derive(Clone, Default)]
struct There {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// What has to be shown.
    shown: Option<String>,
}

#[derive(Default)]
struct Contents {
    there: Mutex<HashMap<String, There>>,
    asked: Mutex<Vec<(String, Option<String>)>>,
    /// Ends all that hangs.
    released: Notify,
}

/// A registry on this machine.
struct Fake {
    host: String,
    contents: Arc<Contents>,
}

async fn answered(State(contents): State<Arc<Contents>>, request: Request) -> Response<Body> {
    let path = request.uri().to_string();
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    contents.asked.lock().unwrap().push((path.clone(), shown.clone()));
    let found = contents.there.lock().unwrap().get(&path).cloned();
    let Some(there) = found else { return Response::builder().status(404).body(Body::empty()).unwrap() };
    if there.status == 0 {
        contents.released.notified().await;
        return Response::builder().status(404).body(Body::empty()).unwrap();
    }
    let refused = there.shown.is_some() && there.shown != shown;
    let mut response = Response::builder().status(if refused { 401 } else { there.status });
    for (name, value) in there.headers {
        response = response.header(name, value);
    }
    response.body(if refused { Body::empty() } else { Body::from(there.body) }).unwrap()
}

impl Fake {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let contents = Arc::<Contents>::default();
        let host = listener.local_addr().unwrap().to_string();
        let routes = Router::new().fallback(answered).with_state(Arc::clone(&contents));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { host, contents }
    }

    /// The same over TLS, with a certificate for `localhost` that nobody has signed.
    async fn over_tls() -> (Self, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let contents = Arc::<Contents>::default();
        let host = format!("localhost:{}", listener.local_addr().unwrap().port());
        let routes = Router::new().fallback(answered).with_state(Arc::clone(&contents));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, routes) = (acceptor.clone(), routes.clone());
                tokio::spawn(async move {
                    let stream = TokioIo::new(acceptor.accept(stream).await.ok()?);
                    let connection = hyper::server::conn::http1::Builder::new();
                    connection.serve_connection(stream, TowerToHyperService::new(routes)).await.ok()
                });
            }
        });
        (Self { host, contents }, cert.pem())
    }

    fn put(&self, path: &str, there: There) {
        let status = if there.status == 0 { 200 } else { there.status };
        self.contents.there.lock().unwrap().insert(path.to_owned(), There { status, ..there });
    }

    fn hang(&self, path: &str) {
        self.contents.there.lock().unwrap().insert(path.to_owned(), There::default());
    }

    /// An image that starts this, as a manifest. Returns its digest.
    fn push(&self, name: &str, tag: &str, config: &Value) -> String {
        let whole = json!({"architecture": "amd64", "os": "linux", "config": config, "rootfs": {"type": "layers", "diff_ids": []}});
        let blob = self.blob(name, &whole);
        let config =
            json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": 1});
        self.manifest(name, tag, &json!({"schemaVersion": 2, "config": config, "layers": []}))
    }

    fn blob(&self, name: &str, value: &Value) -> String {
        let (body, digest) = of_digest(value);
        self.put(&format!("/v2/{name}/blobs/{digest}"), There { body, ..There::default() });
        digest
    }

    fn manifest(&self, name: &str, tag: &str, value: &Value) -> String {
        let (body, digest) = of_digest(value);
        for at in [tag, &digest] {
            self.put(&format!("/v2/{name}/manifests/{at}"), There { body: body.clone(), ..There::default() });
        }
        digest
    }

    /// An index of images, each of an architecture.
    fn index(&self, name: &str, tag: &str, images: &[(&str, &str)]) {
        let entry = |(architecture, digest): &(&str, &str)| {
            json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
                   "platform": {"os": "linux", "architecture": architecture}})
        };
        let manifests: Vec<Value> = images.iter().map(entry).collect();
        self.manifest(name, tag, &json!({"schemaVersion": 2, "manifests": manifests}));
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.contents.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn as_host(&self) -> Host {
        Host { host: self.host.clone(), plain_http: true, ca_file: None }
    }

    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host)
    }
}

fn of_digest(value: &Value) -> (Vec<u8>, String) {
    let body = value.to_string().into_bytes();
    let hex: String = digest(&SHA256, &body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    (body, format!("sha256:{hex}"))
}

fn registries(hosts: &[Host]) -> Registries {
    Registries::new(hosts).unwrap()
}

async fn of(registries: &Registries, image: &str, architectures: &[&str]) -> Result<Arc<Image>, String> {
    let architectures = architectures.iter().map(|name| (*name).to_owned()).collect();
    let question = Question { image: image.to_owned(), architectures };
    registries.image(question, "own", None, async { Credentials::default() }).await
}

/// The same for a pod of a namespace.
async fn of_namespace(registries: &Registries, namespace: &str, image: &str) -> Result<Arc<Image>, String> {
    let question = Question { image: image.to_owned(), architectures: Vec::new() };
    registries.image(question, namespace, None, async { Credentials::default() }).await
}

fn words(image: &Image) -> [Vec<&str>; 2] {
    [&image.entrypoint, &image.cmd].map(|list| list.iter().map(String::as_str).collect())
}

#[tokio::test]
async fn an_image_is_looked_up_once_for_all_that_ask_for_it_and_not_again_for_a_while() {
    let fake = Fake::new().await;
    fake.push("own/app", "1", &json!({"Entrypoint": ["/entry"], "Cmd": ["serve"]}));
    let (registries, name) = (registries(&[fake.as_host()]), fake.image("own/app:1"));
    let all = futures_util::future::join_all((0..50).map(|_| of(&registries, &name, &[]))).await;
    for image in all {
        assert_eq!(words(&image.unwrap()), [vec!["/entry"], vec!["serve"]]);
    }
    assert_eq!(fake.asked().len(), 2, "{:?}", fake.asked());
}

#[tokio::test]
async fn an_index_is_one_image_if_its_images_start_the_same_and_else_that_of_the_pods_nodes() {
    let fake = Fake::new().await;
    let same = json!({"Entrypoint": ["/same"]});
    let (one, other) = (fake.push("a", "x", &same), fake.push("a", "y", &json!({"Entrypoint": ["/other"]})));
    let nobody = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    fake.index("a", "same", &[("amd64", &one), ("arm64", &one), ("s390x", nobody), ("unknown", nobody)]);
    fake.index("a", "differ", &[("amd64", &one), ("arm64", &other)]);
    fake.index("a", "elsewhere", &[("s390x", nobody)]);
    let registries = registries(&[fake.as_host()]);
    let of = async |tag: &str, on: &[&str]| of(&registries, &fake.image(&format!("a:{tag}")), on).await;
    assert_eq!(words(&of("same", &[]).await.unwrap())[0], ["/same"]);
    assert!(of("differ", &[]).await.unwrap_err().contains("something else on each architecture"));
    assert_eq!(words(&of("differ", &["arm64"]).await.unwrap())[0], ["/other"]);
    assert_eq!(words(&of("differ", &["amd64"]).await.unwrap())[0], ["/same"]);
    assert!(of("elsewhere", &[]).await.unwrap_err().contains("no image for Linux on amd64 or arm64"));
    assert!(of("none", &[]).await.unwrap_err().contains("answers 404"));
}

#[tokio::test]
async fn a_token_that_the_registry_wants_is_had_with_the_pods_password_and_without_one() {
    let fake = Fake::new().await;
    fake.push("app", "1", &json!({"Entrypoint": ["/entry"]}));
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", fake.host);
    let guarded: Vec<String> = fake.contents.there.lock().unwrap().keys().cloned().collect();
    for path in guarded {
        let mut there = fake.contents.there.lock().unwrap();
        let one = there.get_mut(&path).unwrap();
        one.shown = Some("Bearer t0ken".to_owned());
        one.headers = vec![("www-authenticate", challenge.clone())];
    }
    let token = "/token?service=s&scope=repository%3Aapp%3Apull";
    let (registries, name) = (registries(&[fake.as_host()]), fake.image("app:1"));
    let body = br#"{"access_token": "t0ken"}"#.to_vec();
    fake.put(token, There { body: body.clone(), ..There::default() });
    assert_eq!(words(&of(&registries, &name, &[]).await.unwrap())[0], ["/entry"]);
    // Basic of user:password.
    fake.put(token, There { body, shown: Some("Basic dXNlcjpwYXNzd29yZA==".to_owned()), ..There::default() });
    let mine = async |whose: &str, user: &str| {
        let mut credentials = Credentials::default();
        let auths = json!({"auths": {&fake.host: {"username": user, "password": "password"}}});
        credentials.add_config(auths.to_string().as_bytes());
        let question = Question { image: name.clone(), architectures: Vec::new() };
        registries.image(question, "own", Some(whose.to_owned()), async { credentials }).await
    };
    assert_eq!(words(&mine("a/secret", "user").await.unwrap())[0], ["/entry"]);
    // Who may not pull an image is not told what another one has learned of it.
    assert!(mine("b/secret", "other").await.unwrap_err().contains("without a password"));
}

#[tokio::test]
async fn nobody_is_asked_at_an_address_of_the_node_that_the_settings_do_not_name() {
    let fake = Fake::new().await;
    fake.push("app", "1", &json!({"Entrypoint": ["/entry"]}));
    let unnamed = registries(&[]);
    let port = fake.host.parse::<SocketAddr>().unwrap().port();
    for host in [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "169.254.169.254".to_owned()] {
        let said = of(&unnamed, &format!("{host}/app:1"), &[]).await.unwrap_err();
        assert!(said.contains("an address of the node itself"), "{host}: {said}");
    }
    assert!(fake.asked().is_empty());
}

#[tokio::test]
async fn a_registry_leads_nowhere_that_it_could_not_be_itself() {
    let (fake, unnamed) = (Fake::new().await, Fake::new().await);
    let leads = |tag: &str, to: String| {
        let headers = vec![("location", to)];
        fake.put(&format!("/v2/app/manifests/{tag}"), There { status: 307, headers, ..There::default() });
    };
    leads("plain", format!("http://{}/v2/app/manifests/1", unnamed.host));
    leads("metadata", "https://169.254.169.254/latest/meta-data".to_owned());
    leads("other", "ftp://elsewhere.example/v2/".to_owned());
    leads("circle", "/v2/app/manifests/circle".to_owned());
    let registries = registries(&[fake.as_host()]);
    for (tag, why) in [
        ("plain", "without TLS"),
        ("metadata", "169.254.169.254, an address of the node"),
        ("other", "without TLS"),
        ("circle", "in circles"),
    ] {
        let said = of(&registries, &fake.image(&format!("app:{tag}")), &[]).await.unwrap_err();
        assert!(said.contains(why), "{tag}: {said}");
    }
    assert!(unnamed.asked().is_empty(), "{:?}", unnamed.asked());
    assert_eq!(fake.asked().len(), 4 + limits::REGISTRY_REDIRECTS);
}

#[tokio::test]
async fn where_a_registry_keeps_its_blobs_nobody_learns_who_asks() {
    let (fake, store) = (Fake::new().await, Fake::new().await);
    fake.push("app", "1", &json!({"Entrypoint": ["/entry"]}));
    let challenge = vec![("www-authenticate", "Basic realm=\"r\"".to_owned())];
    let paths: Vec<String> = fake.contents.there.lock().unwrap().keys().cloned().collect();
    for path in paths {
        let mut there = fake.contents.there.lock().unwrap().remove(&path).unwrap();
        there.shown = Some("Basic dXNlcjpwYXNzd29yZA==".to_owned());
        there.headers = challenge.clone();
        if path.contains("/blobs/") {
            store.put(&path, There { body: there.body.clone(), ..There::default() });
            there.status = 307;
            there.headers.push(("location", format!("http://{}{path}", store.host)));
        }
        fake.put(&path, there);
    }
    let registries = registries(&[fake.as_host(), store.as_host()]);
    let mut credentials = Credentials::default();
    let auths = json!({"auths": {&fake.host: {"auth": "dXNlcjpwYXNzd29yZA=="}}});
    credentials.add_config(auths.to_string().as_bytes());
    let question = Question { image: fake.image("app:1"), architectures: Vec::new() };
    let image = registries.image(question, "own", None, async { credentials }).await.unwrap();
    assert_eq!(words(&image)[0], ["/entry"]);
    assert!(store.asked().iter().all(|(_, shown)| shown.is_none()) && store.asked().len() == 1);
}

#[tokio::test]
async fn where_a_registry_leads_nobody_is_answered_who_wants_to_know_who_asks() {
    let (fake, other) = (Fake::new().await, Fake::new().await);
    let bearer = format!("Bearer realm=\"http://{}/token\"", other.host);
    for (tag, challenge) in [("basic", "Basic realm=\"r\"".to_owned()), ("bearer", bearer)] {
        let path = format!("/v2/app/manifests/{tag}");
        let location = vec![("location", format!("http://{}{path}", other.host))];
        fake.put(&path, There { status: 307, headers: location, ..There::default() });
        let headers = vec![("www-authenticate", challenge)];
        other.put(&path, There { headers, shown: Some("a password".to_owned()), ..There::default() });
        let mut credentials = Credentials::default();
        let auths = json!({"auths": {&fake.host: {"username": "user", "password": "password"}}});
        credentials.add_config(auths.to_string().as_bytes());
        let question = Question { image: fake.image(&format!("app:{tag}")), architectures: Vec::new() };
        let said = registries(&[fake.as_host(), other.as_host()])
            .image(question, "own", Some("own/secret".to_owned()), async { credentials })
            .await
            .unwrap_err();
        assert!(said.contains("without a password"), "{said}");
        assert_eq!(other.asked().last(), Some(&(path, None)));
    }
    assert_eq!((fake.asked().len(), other.asked().len()), (2, 2), "{:?}", other.asked());
}

#[tokio::test]
async fn more_images_than_have_a_place_wait_for_one() {
    let fake = Fake::new().await;
    let tags: Vec<String> = (0..limits::LOOKUPS_AT_ONCE * 2).map(|number| number.to_string()).collect();
    for tag in &tags {
        fake.push("app", tag, &json!({"Entrypoint": [tag]}));
    }
    let (registries, names) = (registries(&[fake.as_host()]), tags.iter().map(|tag| format!("app:{tag}")));
    let images: Vec<String> = names.map(|name| fake.image(&name)).collect();
    let all = futures_util::future::join_all(images.iter().map(|image| of(&registries, image, &[]))).await;
    for (image, tag) in all.into_iter().zip(&tags) {
        assert_eq!(words(&image.unwrap())[0], [tag]);
    }
}

#[tokio::test]
async fn a_namespace_whose_registries_hang_takes_the_places_of_no_other_and_has_its_own_again_after_that() {
    let fake = Fake::new().await;
    fake.push("app", "good", &json!({"Entrypoint": ["/good"]}));
    let (registries, good) = (registries(&[fake.as_host()]), fake.image("app:good"));
    let tags: Vec<String> = (0..limits::LOOKUPS_AT_ONCE).map(|number| number.to_string()).collect();
    for tag in &tags {
        fake.hang(&format!("/v2/app/manifests/{tag}"));
    }
    let hanging: Vec<String> = tags.iter().map(|tag| fake.image(&format!("app:{tag}"))).collect();
    let hang = hanging.iter().map(|image| of_namespace(&registries, "slow", image));
    let others = async {
        while fake.asked().len() < limits::LOOKUPS_PER_NAMESPACE {
            tokio::task::yield_now().await;
        }
        // It waits in its own namespace for a place that does not come, and the other one's pod not for it.
        tokio::join!(of_namespace(&registries, "slow", &good), of_namespace(&registries, "quick", &good))
    };
    let (hung, (slow, quick)) = tokio::join!(futures_util::future::join_all(hang), others);
    assert_eq!(words(&quick.unwrap())[0], ["/good"]);
    assert!(slow.unwrap_err().contains("too many other images"));
    assert!(hung.into_iter().all(|answer| answer.is_err()));
    assert_eq!(fake.asked().len(), limits::LOOKUPS_PER_NAMESPACE + 2, "{:?}", fake.asked());
    // That there was no place counts for no pod after that one.
    fake.push("app", tags.last().unwrap(), &json!({"Cmd": ["late"]}));
    fake.contents.released.notify_waiters();
    let late = of_namespace(&registries, "slow", hanging.last().unwrap()).await;
    assert_eq!(words(&late.unwrap())[1], ["late"]);
}

#[tokio::test]
async fn an_answer_is_taken_only_if_it_is_small_and_what_the_digest_says() {
    let fake = Fake::new().await;
    let digest = fake.push("app", "1", &json!({"Entrypoint": ["/entry"]}));
    let registries = registries(&[fake.as_host()]);
    let of = async |image: &str| of(&registries, &fake.image(image), &[]).await;
    assert_eq!(words(&of(&format!("app@{digest}")).await.unwrap())[0], ["/entry"]);
    let other = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    let body = fake.contents.there.lock().unwrap()["/v2/app/manifests/1"].body.clone();
    fake.put(&format!("/v2/app/manifests/{other}"), There { body, ..There::default() });
    assert!(of(&format!("app@{other}")).await.unwrap_err().contains("another manifest"));
    let large = There { body: vec![b' '; limits::REGISTRY_ANSWER_BYTES + 1], ..There::default() };
    fake.put("/v2/app/manifests/large", large);
    assert!(of("app:large").await.unwrap_err().contains("more than 1048576 bytes"));
    fake.put("/v2/app/manifests/nonsense", There { body: b"<html>".to_vec(), ..There::default() });
    assert!(of("app:nonsense").await.unwrap_err().contains("no manifest"));
    let windows =
        json!({"architecture": "amd64", "os": "windows", "rootfs": {"type": "layers", "diff_ids": []}});
    let blob = fake.blob("app", &windows);
    let config = json!({"mediaType": "application/vnd.oci.image.config.v1+json", "digest": blob, "size": 1});
    fake.manifest("app", "windows", &json!({"schemaVersion": 2, "config": config, "layers": []}));
    assert!(of("app:windows").await.unwrap_err().contains("no image for Linux"));
    let endless = "a".repeat(limits::IMAGE_NAME_MAX);
    assert!(of(&endless).await.unwrap_err().contains("name cannot be read"));
    assert!(of("UPPER CASE").await.unwrap_err().contains("name cannot be read"));
}

#[tokio::test]
async fn a_registry_that_hangs_holds_a_pod_up_for_a_moment_and_is_not_asked_again_at_once() {
    let fake = Fake::new().await;
    fake.hang("/v2/app/manifests/1");
    let (registries, name) = (registries(&[fake.as_host()]), fake.image("app:1"));
    let began = Instant::now();
    let waiting = (0..8).map(|_| of(&registries, &name, &[]));
    for answer in futures_util::future::join_all(waiting).await {
        assert!(answer.unwrap_err().contains("takes longer than 1.25s"));
    }
    assert!(began.elapsed() < limits::LOOKUP_TIMEOUT, "{:?}", began.elapsed());
    assert_eq!(fake.asked().len(), 1, "{:?}", fake.asked());
    // One that could not be asked at all is not asked by the next pod either.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let hosts = [Host { host: gone.clone(), plain_http: true, ca_file: None }];
    let registries = Registries::new(&hosts).unwrap();
    let name = format!("{gone}/app:1");
    assert!(of(&registries, &name, &[]).await.unwrap_err().contains("cannot be reached"));
    let _back = TcpListener::bind(&gone).await.unwrap();
    assert!(of(&registries, &name, &[]).await.unwrap_err().contains("cannot be reached"));
}

#[tokio::test]
async fn a_registry_that_an_authority_of_ones_own_vouches_for_is_believed_for_that_alone() {
    let (fake, pem) = Fake::over_tls().await;
    fake.push("app", "1", &json!({"Entrypoint": ["/entry"]}));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.crt");
    std::fs::write(&file, pem).unwrap();
    let host = |ca_file| Host { host: fake.host.clone(), plain_http: false, ca_file };
    let name = fake.image("app:1");
    let believed = of(&registries(&[host(Some(file.clone()))]), &name, &[]).await;
    assert_eq!(words(&believed.unwrap())[0], ["/entry"]);
    let strange = of(&registries(&[host(None)]), &name, &[]).await.unwrap_err();
    assert!(strange.contains("cannot be reached"), "{strange}");
    std::fs::write(&file, "none").unwrap();
    let wrong = Registries::new(&[host(Some(file))]).err().unwrap();
    assert!(format!("{wrong:#}").contains("ca.crt is no certificate in PEM"), "{wrong:#}");
}
