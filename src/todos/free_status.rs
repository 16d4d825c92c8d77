//! Statuses of other programs, as free text.

use super::Status;

/// The meaning of a text as a status. Case, white space, hyphens and underscores are ignored. An unknown text means pending.
pub fn free_status(text: &str) -> Status {
    let letters: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '_'))
        .flat_map(char::to_lowercase)
        .collect();
    match letters.as_str() {
        "completed" | "complete" | "done" | "finished" | "closed" => Status::Completed,
        "inprogress" | "doing" | "started" | "wip" => Status::InProgress,
        // Including `todo`, `open`, `new` and the empty text.
        _ => Status::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_other_programs_are_recognized() {
        for (status, texts) in [
            (
                Status::Completed,
                &[
                    "completed",
                    "Complete",
                    "DONE",
                    " done\n",
                    "finished",
                    "Closed",
                ][..],
            ),
            (
                Status::InProgress,
                &[
                    "in progress",
                    "In-Progress",
                    "in_progress",
                    "inprogress",
                    "Doing",
                    "started",
                    "WIP",
                ],
            ),
            (
                Status::Pending,
                &[
                    "pending", "todo", "To Do", "open", "new", "", "  ", "später", "not done",
                ],
            ),
        ] {
            for text in texts {
                assert_eq!(free_status(text), status, "{text}");
            }
        }
        for status in Status::ALL {
            assert_eq!(free_status(status.as_str()), status);
        }
    }
}
