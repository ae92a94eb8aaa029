//! `thalweg papers`.

use crate::registry::{Paper, of_family};
use thalweg_lab::{LabError, Result};
use thalweg_record::reply::{PaperEntry, PapersBody};

/// The papers of a family, or one of them, or all.
///
/// # Errors
/// `Usage` for a name or a family that there is not, or a paper of another family.
pub fn list(family: Option<&str>, slug: Option<&str>) -> Result<PapersBody> {
    let papers = of_family(family)?;
    let papers = match (slug, family) {
        (None, _) => papers,
        (Some(slug), family) => {
            let paper = Paper::find(slug)?;
            if let Some(family) = family.filter(|family| *family != paper.family) {
                let text = format!("{slug} is of the family {}, not {family}", paper.family);
                return Err(LabError::Usage(text));
            }
            vec![paper]
        }
    };
    Ok(PapersBody { papers: papers.into_iter().map(entry).collect() })
}

fn entry(paper: &Paper) -> PaperEntry {
    PaperEntry {
        n: paper.n,
        slug: paper.slug.clone(),
        title: paper.title.clone(),
        family: paper.family.clone(),
        kind: paper.kind.clone(),
        status: paper.status(),
        size: paper.size.clone(),
        source: paper.source.clone(),
        claim: paper.claim.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_one_paper_or_all() {
        let count = |family, slug| list(family, slug).map(|body| body.papers.len());
        assert_eq!(count(None, None).unwrap(), 186);
        assert_eq!(count(Some("curvature"), None).unwrap(), 4);
        assert_eq!(count(None, Some("sam")).unwrap(), 1);
        assert!(count(Some("surface"), Some("sam")).is_err());
        assert!(count(None, Some("sma")).unwrap_err().to_string().contains("sam"));
    }
}
