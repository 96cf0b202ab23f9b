//! The area under the ROC curve: how well a score tells two classes apart.

/// The chance that a random positive scores above a random negative (ties count half): the area under the ROC curve.
/// `None` where one of the two classes is empty.
#[must_use]
pub fn auroc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    let positives = labels.iter().filter(|&&l| l).count();
    let negatives = labels.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    // Sum of the positives' ranks (Mann & Whitney), a tie taking the middle of its run.
    let mut rank_sum = 0.0;
    let mut start = 0;
    while start < order.len() {
        let run = order[start..].iter().take_while(|&&i| scores[i] == scores[order[start]]).count().max(1);
        let middle = start as f64 + (run as f64 + 1.0) / 2.0;
        rank_sum += middle * order[start..start + run].iter().filter(|&&i| labels[i]).count() as f64;
        start += run;
    }
    let positives = positives as f64;
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auroc_agrees_with_counting_pairs() {
        let scores = [0.1, 0.4, 0.4, 0.8, 0.4, 0.2];
        let labels = [false, true, false, true, false, true];
        let mut wins = 0.0;
        for i in 0..6 {
            for j in 0..6 {
                if labels[i] && !labels[j] {
                    wins += if scores[i] > scores[j] {
                        1.0
                    } else if scores[i] == scores[j] {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
        }
        assert_eq!(auroc(&scores, &labels), Some(wins / 9.0));
        assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
    }
}
