//! The operators that some recipes have, installed by their own charts.

use anyhow::Result;
use crik_tests::cluster::Cluster;
use crik_tests::cluster::images::Image;
use crik_tests::tools::operators;

use crate::shell;

/// An operator in a namespace of its own; removed when this is dropped.
pub struct Operator<'a> {
    cluster: &'a Cluster,
    name: &'static str,
}

impl<'a> Operator<'a> {
    /// That of JobSets.
    ///
    /// # Errors
    /// It cannot be built, or does not start.
    pub fn jobset(cluster: &'a Cluster) -> Result<Self> {
        let values = "image.repository=jobset,image.tag=built,image.pullPolicy=IfNotPresent,\
                      controller.podSecurityContext.runAsUser=65532";
        Self::new(cluster, "jobset", values)
    }

    /// Kueue.
    ///
    /// # Errors
    /// It cannot be built, or does not start.
    pub fn kueue(cluster: &'a Cluster) -> Result<Self> {
        let values = "controllerManager.manager.image.repository=kueue,controllerManager.manager.image.tag=built,\
                      controllerManager.manager.image.pullPolicy=IfNotPresent,\
                      controllerManager.manager.podSecurityContext.runAsUser=65532,\
                      controllerManager.readinessProbe.initialDelaySeconds=1";
        Self::new(cluster, "kueue", values)
    }

    /// As its users install it, but for where its image is from.
    fn new(cluster: &'a Cluster, name: &'static str, values: &str) -> Result<Self> {
        let built = operators()?.join(name);
        cluster.import(&[Image::of_program(&format!("{name}:built"), &built.join("manager"))?])?;
        let operator = Self { cluster, name };
        let chart = built.join("chart").display().to_string();
        shell(
            cluster,
            &format!(
                "helm install {name} {chart} --namespace {name}-system --create-namespace --wait --set {values}"
            ),
        )?;
        Ok(operator)
    }
}

impl Drop for Operator<'_> {
    fn drop(&mut self) {
        let name = self.name;
        let remove = format!(
            "helm uninstall {name} --namespace {name}-system; kubectl delete namespace {name}-system --timeout=2m"
        );
        if let Err(error) = shell(self.cluster, &remove) {
            eprintln!("{name} is left behind: {error:#}");
        }
    }
}
