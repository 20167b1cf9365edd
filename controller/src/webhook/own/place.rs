//! Where the certificate is, and who is told of its authority.

/// Where things are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The Secret's namespace.
    pub namespace: String,
    /// The Secret, which has to be there.
    pub secret: String,
    /// The MutatingWebhookConfiguration, whose webhooks are all answered by this program.
    pub configuration: String,
    /// The ValidatingWebhookConfiguration, if there is one.
    pub validating: Option<String>,
}
