"""Grid search over a zoo
======================

The reference zoo is a table with a row for each network. Which families of measures tell most about
networks on data sets that were never seen? Folds keep whole data sets apart.
"""

from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

import hessdiag as hd
from hessdiag.diagnosis import TableClassifier

zoo = hd.load_reference_zoo()
print(zoo.DESCR)

pipeline = make_pipeline(hd.SpectralFeatures(), TableClassifier(n_estimators=50, random_state=0))
search = GridSearchCV(
    pipeline,
    {"spectralfeatures__families": [("context",), ("shape", "noise"), ("loo", "context")]},
    scoring="balanced_accuracy",
    cv=StratifiedGroupKFold(3),
)
search.fit(zoo.tables, zoo.target, groups=zoo.groups)
for families, score in zip(
    search.cv_results_["param_spectralfeatures__families"],
    search.cv_results_["mean_test_score"],
    strict=True,
):
    print(f"{' + '.join(families):20s} balanced accuracy {score:.3f}")
