//! Answers that deny a request: a right is missing, or the credentials are not accepted. A denial is no outage: retries do not help
//! until somebody corrects the setup. So the message names the correction.

use std::any::TypeId;
use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::{
    batch_get_item::BatchGetItemError, batch_write_item::BatchWriteItemError,
    create_table::CreateTableError, delete_item::DeleteItemError,
    describe_table::DescribeTableError, get_item::GetItemError, put_item::PutItemError,
    query::QueryError, scan::ScanError, transact_write_items::TransactWriteItemsError,
    update_item::UpdateItemError,
};

use crate::aws_profile::lacks_sso;
use crate::error::chain;

/// Error codes of missing rights.
const RIGHTS: [&str; 4] = [
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorized",
    "UnauthorizedOperation",
];
/// Error codes of an account that may not use DynamoDB at all.
const ACCOUNT: [&str; 3] = [
    "AccountDisabled",
    "OptInRequired",
    "SubscriptionRequiredException",
];
/// Error codes of refused credentials, and the reason.
const CREDENTIALS: [(&str, &str); 16] = [
    ("AuthFailure", UNKNOWN),
    ("ExpiredToken", EXPIRED),
    ("ExpiredTokenException", EXPIRED),
    ("IncompleteSignature", MISSING),
    ("IncompleteSignatureException", MISSING),
    ("InvalidAccessKeyId", UNKNOWN),
    ("InvalidClientTokenId", UNKNOWN),
    ("InvalidSignatureException", SIGNATURE),
    ("InvalidToken", UNKNOWN),
    ("MissingAuthenticationToken", MISSING),
    ("MissingAuthenticationTokenException", MISSING),
    ("RequestExpired", CLOCK),
    ("RequestTimeTooSkewed", CLOCK),
    ("SignatureDoesNotMatch", SIGNATURE),
    ("TokenRefreshRequired", EXPIRED),
    ("UnrecognizedClientException", UNKNOWN),
];
const UNKNOWN: &str = "the access key or its token is not known";
const EXPIRED: &str = "their token has expired";
const MISSING: &str = "a part of them is missing";
const SIGNATURE: &str =
    "the secret does not belong to the access key, or the clock of this machine is wrong";
const CLOCK: &str = "the clock of this machine is wrong";

/// An answer that denies a request.
pub(crate) struct Denial {
    pub(crate) message: String,
    /// Whether AWS's message may be logged. A message about a signature repeats the signed text, which may include a session token.
    pub(crate) is_for_log: bool,
}

/// The denial in a failed request; `None` for every other failure.
pub(crate) fn denial<E>(error: &SdkError<E>) -> Option<Denial>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let message = match error {
        SdkError::ServiceError(_) => {
            let code = error.code()?;
            return Some(Denial {
                message: denied(code, error.message().unwrap_or(""), actions::<E>())?,
                is_for_log: CREDENTIALS.iter().all(|(known, _)| *known != code),
            });
        }
        SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_)
            if is_of_credentials(error) =>
        {
            match lacks_sso(&chain(error)) {
                Some(advice) => format!("there are no credentials for DynamoDB: {advice}"),
                None => "there are no credentials for DynamoDB: give the server some (variables, a profile, the role of its task); \
                     it looks again by itself"
                    .to_owned(),
            }
        }
        _ => return None,
    };
    Some(Denial {
        message,
        is_for_log: true,
    })
}

/// The message for an error code that denies a request, or an item of a transaction; `None` for every other code.
pub(crate) fn denied(code: &str, message: &str, actions: &str) -> Option<String> {
    if RIGHTS.contains(&code) {
        return Some(match missing_right(message) {
            Some((action, table)) => format!(
                "DynamoDB does not allow this server {action} on the table {table} ({code}): add it to the policy of the \
                 server's role or user"
            ),
            None => format!(
                "DynamoDB does not allow this server a request ({code}): the policy of its role or user takes {actions} on both \
                 tables of the readings"
            ),
        });
    }
    if ACCOUNT.contains(&code) {
        return Some(format!(
            "this account may not use DynamoDB ({code}): enable it there, or take the credentials of another account"
        ));
    }
    if code.starts_with("KMS") && !code.contains("Throttling") {
        return Some(format!(
            "DynamoDB may not use the key that encrypts the tables of the readings ({code}): enable the key, and allow it to the \
             server's role or user"
        ));
    }
    let (_, why) = CREDENTIALS.iter().find(|(known, _)| *known == code)?;
    Some(format!(
        "DynamoDB does not accept the credentials of this server ({code}): {why}; correct them where the server finds them \
         (variables, a profile, the role of its task); it looks for new ones by itself"
    ))
}

/// The action and the table from AWS's message about a missing right. The rest of the message names accounts and roles, and is
/// only for the log.
fn missing_right(message: &str) -> Option<(&str, &str)> {
    let word = |after: &str| -> Option<&str> {
        let (_, rest) = message.split_once(after)?;
        let word = rest.split_whitespace().next()?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":*_.-/".contains(&byte);
        word.bytes().all(is_plain).then_some(word)
    };
    let action = word("to perform: ")?;
    let (_, table) = word("on resource: ")?.split_once(":table/")?;
    let table = table.split('/').next()?;
    (!table.is_empty()).then_some((action, table))
}

/// The actions that a policy has to allow for a request with this error type.
fn actions<E: 'static>() -> &'static str {
    let of = TypeId::of::<E>();
    let all = [
        (TypeId::of::<BatchGetItemError>(), "dynamodb:BatchGetItem"),
        (
            TypeId::of::<BatchWriteItemError>(),
            "dynamodb:BatchWriteItem",
        ),
        (TypeId::of::<CreateTableError>(), "dynamodb:CreateTable"),
        (TypeId::of::<DeleteItemError>(), "dynamodb:DeleteItem"),
        (TypeId::of::<DescribeTableError>(), "dynamodb:DescribeTable"),
        (TypeId::of::<GetItemError>(), "dynamodb:GetItem"),
        (TypeId::of::<PutItemError>(), "dynamodb:PutItem"),
        (TypeId::of::<QueryError>(), "dynamodb:Query"),
        (TypeId::of::<ScanError>(), "dynamodb:Scan"),
        (TypeId::of::<TransactWriteItemsError>(), WRITES),
        (TypeId::of::<UpdateItemError>(), "dynamodb:UpdateItem"),
    ];
    let found = all.into_iter().find(|(error, _)| *error == of);
    found.map_or("more actions", |(_, actions)| actions)
}

/// The actions of a transaction.
pub(crate) const WRITES: &str =
    "dynamodb:PutItem, dynamodb:UpdateItem, dynamodb:DeleteItem and dynamodb:ConditionCheckItem";

fn is_of_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<CredentialsError>() {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_its_table_and_without_the_account() {
        let message = "User: arn:aws:sts::123456789012:assumed-role/fleet/task is not authorized to perform: dynamodb:PutItem on \
             resource: arn:aws:dynamodb:eu-west-1:123456789012:table/fleet-temperature-readings because no identity-based policy \
             allows the dynamodb:PutItem action";
        let text = denied("AccessDeniedException", message, WRITES).unwrap();
        assert!(
            text.contains("dynamodb:PutItem on the table fleet-temperature-readings ("),
            "{text}"
        );
        assert!(!text.contains("123456789012"), "{text}");
        for message in [
            "",
            "to perform: dynamodb:PutItem",
            "to perform: <b> on resource: :table/x",
        ] {
            let text = denied("AccessDeniedException", message, WRITES).unwrap();
            assert!(text.contains("dynamodb:ConditionCheckItem"), "{text}");
        }
    }

    #[test]
    fn denials_are_told_from_throttling() {
        for code in [
            "UnrecognizedClientException",
            "ExpiredTokenException",
            "OptInRequired",
            "KMSAccessDeniedException",
        ] {
            let text = denied(code, "", WRITES).unwrap();
            assert!(text.contains(code), "{text}");
        }
        for code in [
            "ThrottlingException",
            "InternalServerError",
            "KMSThrottlingException",
            "TransactionCanceledException",
        ] {
            assert_eq!(denied(code, "", WRITES), None);
        }
    }
}
