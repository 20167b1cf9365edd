//! Which cluster is asked, and as whom: options of kubectl's own.

use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};

/// The options of kubectl by which it finds a cluster and says who asks, in its own words (kubectl options).
const OPTIONS: [(&str, Option<char>, &str); 14] = [
    ("namespace", Some('n'), "The namespace"),
    ("context", None, "The context of the kubeconfig file"),
    ("kubeconfig", None, "The kubeconfig file"),
    ("cluster", None, "The cluster of the kubeconfig file"),
    ("user", None, "The user of the kubeconfig file"),
    ("server", Some('s'), "The address of the API server"),
    ("as", None, "The user to ask as"),
    ("as-group", None, "The group to ask as"),
    ("as-uid", None, "The uid to ask as"),
    ("token", None, "The bearer token to ask with"),
    ("certificate-authority", None, "The certificate authority of the API server"),
    ("client-certificate", None, "The certificate to ask with"),
    ("client-key", None, "The key of that certificate"),
    ("request-timeout", None, "How long to wait for an answer of the API server"),
];

/// What kubectl is told about the cluster and who asks: its own options, given on as they are.
#[derive(Debug, Default, Clone)]
pub struct Connection(Vec<String>);

impl Connection {
    /// As words of a command line.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl clap::Args for Connection {
    fn augment_args(command: clap::Command) -> clap::Command {
        OPTIONS.iter().fold(command, |command, (name, short, help)| {
            let arg = Arg::new(*name).long(*name).value_name("VALUE").help(*help);
            let arg = arg.action(ArgAction::Append).global(true).help_heading("Options of kubectl");
            command.arg(match short {
                Some(short) => arg.short(*short),
                None => arg,
            })
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Connection {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = OPTIONS.iter().flat_map(|(name, ..)| {
            let values = matches.get_many::<String>(name).into_iter().flatten();
            values.map(move |value| format!("--{name}={value}"))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
