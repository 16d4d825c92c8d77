//! AWS profiles that need a feature outside of this build.

/// The text of the library about such a profile. The library keeps its error as text only.
const LIBRARY_LACKS_SSO: &str = "feature(s) enabled: sso";

/// Advice for a profile with a sign-in through IAM Identity Center. This build leaves the Identity Center out. `None` for every other
/// error. `error` is the text of the error and of the causes.
pub(crate) fn lacks_sso(error: &str) -> Option<&'static str> {
    error.contains(LIBRARY_LACKS_SSO).then_some(
        "the AWS profile signs in through IAM Identity Center (SSO), which this build of fieldstation leaves out: build it with \
         `cargo build --release --features aws-sso`, or give the server a role or access keys",
    )
}

#[cfg(all(test, not(feature = "aws-sso")))]
#[allow(
    deprecated,
    reason = "the new names of these types are in a crate that nothing else here needs"
)]
mod tests {
    use aws_config::profile::ProfileFileCredentialsProvider;
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    use aws_credential_types::provider::ProvideCredentials;

    use super::*;
    use crate::error::chain;

    fn provider_of(profile: &str) -> ProfileFileCredentialsProvider {
        let files = ProfileFiles::builder()
            .with_contents(ProfileFileKind::Config, profile)
            .build();
        ProfileFileCredentialsProvider::builder()
            .profile_files(files)
            .build()
    }

    #[tokio::test]
    async fn a_profile_that_needs_sso_is_told_which_build_has_it() {
        let sso = provider_of(
            "[default]\nsso_account_id = 123456789012\nsso_role_name = fleet\nsso_region = eu-central-1\n\
             sso_start_url = https://example.awsapps.com/start\n",
        );
        let failure = chain(&sso.provide_credentials().await.unwrap_err());
        let advice = lacks_sso(&failure).unwrap_or(&failure);
        assert!(advice.contains("--features aws-sso"), "{advice}");

        let incomplete = provider_of("[default]\nrole_arn = fleet\n");
        let failure = chain(&incomplete.provide_credentials().await.unwrap_err());
        assert_eq!(lacks_sso(&failure), None);
    }
}
