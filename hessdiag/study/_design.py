"""The design of the study: data sets, widths, checkpoints, and the networks to train."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hessdiag.zoo import Recipe, load_dataset

#: The 37 largest real data sets of the zoo, one for each parent, and what is learned on each: its
#: classes, or one of its columns where the task is a regression.
DATA_SETS = {
    "banana": "banana",
    "bands": "bands",
    "breast": "breast",
    "bupa": "bupa",
    "chess": "chess",
    "china": "china-next-pixel",
    "contraceptive": "contraceptive",
    "crx": "crx",
    "diabetes": "diabetes",
    "flower": "flower",
    "german": "german",
    "ionosphere": "ionosphere",
    "led7digit": "led7digit",
    "letter": "letter-predict-x7",
    "magic": "magic-predict-x9",
    "mammographic": "mammographic",
    "marketing": "marketing",
    "mnist1d": "mnist1d",
    "monk-2": "monk-2",
    "mushroom": "mushroom",
    "optdigits": "optdigits",
    "penbased": "penbased",
    "phoneme": "phoneme-predict-x1",
    "pima": "pima",
    "ring": "ring",
    "saheart": "saheart",
    "satimage": "satimage",
    "segment": "segment-predict-x0",
    "spambase": "spambase",
    "splice": "splice",
    "tic-tac-toe": "tic-tac-toe",
    "titanic": "titanic",
    "twonorm": "twonorm",
    "vehicle": "vehicle-predict-x0",
    "vowel": "vowel",
    "wdbc": "wdbc-predict-x28",
    "wisconsin": "wisconsin",
}

#: Three of them for a quick look: classes, a regression, images.
QUICK_DATA_SETS = ("satimage", "vehicle", "optdigits")

#: Teachers whose needed width is known, two of each.
TEACHERS = (
    "teacher-2-relu-noisy-10",
    "teacher-2-tanh-noisy-20",
    "teacher-4-relu-noisy-20",
    "teacher-4-tanh-noisy-10",
    "teacher-8-relu-noisy-10",
    "teacher-8-tanh-noisy-20",
    "teacher-16-relu-noisy-10",
    "teacher-16-tanh-noisy-15",
)

#: Training labels that are flipped, and variance of the noise on the targets of a regression: some
#: noise is what lavish networks overfit. Held-out data stay clean.
LABEL_NOISE = {"classification": 0.1, "regression": 0.25}

FAMILIES = {"tabular": "mlp", "series": "cnn1d", "image": "cnn2d"}
ACTIVATIONS = ("relu", "gelu", "tanh")


@dataclass(frozen=True)
class StudyDesign:
    """All that determines a study.

    Parameters
    ----------
    data_sets : tuple of str, default=all 37
        Names among `DATA_SETS`.
    mlp_widths : tuple of int, default=(1, 2, 4, 8, 16, 32, 64, 128)
        Widths of hidden layers that the pilot tries.
    cnn_widths : tuple of int, default=(1, 2, 4, 8, 24)
        Numbers of channels that the pilot tries.
    weight_decays : tuple of float, default=(0.0, 0.02, 0.1)
        L2 penalties that the sound network is chosen among; the starved one has the same, the
        lavish one none.
    n_pilot_seeds : int, default=2
        Networks of each kind in the pilot; their seeds are not those of the experiments.
    n_train : int, default=300
        Training samples, at most half of a set.
    n_steps : int, default=1024
        Optimizer steps of every run.
    max_gram_size : int, default=600
        Largest side of a Gram matrix, see `hessdiag.examine`.
    dense_limit : int, default=600
        Parameters up to which a Hessian that is not a Gauss-Newton matrix is decomposed exactly.
    n_coupling_probes : int, default=40
        Probes for the norms of Hessian blocks in networks of more than 1,500 parameters.
    teachers : tuple of str, default=8 tasks
        Teacher-student tasks of the expressivity runs.
    ratios : tuple of float, default=(0.25, 0.5, 1, 2, 4, 8)
        Student width over teacher width.
    n_student_seeds : int, default=2
        Students of each teacher and width.
    """

    data_sets: tuple = tuple(DATA_SETS)
    mlp_widths: tuple = (1, 2, 4, 8, 16, 32, 64, 128)
    cnn_widths: tuple = (1, 2, 4, 8, 24)
    weight_decays: tuple = (0.0, 0.02, 0.1)
    n_pilot_seeds: int = 2
    n_train: int = 300
    n_steps: int = 1024
    max_gram_size: int = 600
    dense_limit: int = 600
    n_coupling_probes: int = 40
    teachers: tuple = TEACHERS
    ratios: tuple = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    n_student_seeds: int = 2

    @classmethod
    def quick(cls) -> StudyDesign:
        """Return a design of 3 data sets for a first look, in a minute or two."""
        return cls(
            data_sets=QUICK_DATA_SETS,
            mlp_widths=(2, 8, 64),
            weight_decays=(0.0, 0.02),
            cnn_widths=(1, 4, 8),
            n_pilot_seeds=1,
            n_steps=256,
            max_gram_size=300,
            dense_limit=200,
            n_coupling_probes=20,
            teachers=TEACHERS[4:6],
            ratios=(0.25, 1.0, 4.0),
            n_student_seeds=1,
        )

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """tuple of int : Steps at which networks are looked at: 0, and two for each doubling."""
        steps, step = {0, 1}, float(self.n_steps)
        while step > 1:
            steps.add(round(step))
            step /= 2**0.5
        return tuple(sorted(steps))

    def widths(self, task: str) -> tuple[int, ...]:
        """Return the widths that a task's pilot tries.

        Parameters
        ----------
        task : str
            Name of a task, as in `list_tasks`.

        Returns
        -------
        widths : tuple of int
            Units of hidden layers, or channels.
        """
        return self.mlp_widths if _family(task) == "mlp" else self.cnn_widths

    def recipe(
        self, dataset: str, width: int = 0, weight_decay: float = 0.0, seed: int = 0
    ) -> Recipe:
        """Return the recipe of a network on a data set.

        Activations take turns over the alphabetical list of data sets, so that each is met on a
        third of them.

        Parameters
        ----------
        dataset : str
            One of `DATA_SETS`.
        width : int, default=0
            Width; 0 where it is still to be chosen.
        weight_decay : float, default=0.0
            L2 penalty.
        seed : int, default=0
            Seed of the network.

        Returns
        -------
        recipe : Recipe
            The recipe.
        """
        task = DATA_SETS[dataset]
        return Recipe(
            dataset=task,
            n_train=self.n_train,
            label_noise=LABEL_NOISE[load_dataset(task).kind],
            family=_family(task),
            depth=2,
            activation=ACTIVATIONS[sorted(DATA_SETS).index(dataset) % len(ACTIVATIONS)],
            width=width,
            weight_decay=weight_decay,
            learning_rate=0.03,
            n_steps=self.n_steps,
            optimizer="sgd",
            seed=seed,
        )

    def pilot(self, dataset: str) -> list[Recipe]:
        """Return the recipes from whose held-out losses the regimes of a data set are chosen.

        Parameters
        ----------
        dataset : str
            One of `DATA_SETS`.

        Returns
        -------
        recipes : list of Recipe
            Widths times weight decays times seeds from 1 on.
        """
        base = self.recipe(dataset)
        return [
            replace(base, width=width, weight_decay=decay, seed=seed)
            for width in self.widths(base.dataset)
            for decay in self.weight_decays
            for seed in range(1, 1 + self.n_pilot_seeds)
        ]

    def students(self) -> list[Recipe]:
        """Return the recipes of the students, each of one hidden layer like its teacher.

        Returns
        -------
        recipes : list of Recipe
            Teachers times widths times seeds.
        """
        recipes = []
        for teacher in self.teachers:
            needed = load_dataset(teacher).teacher_width
            widths = [round(ratio * needed) for ratio in self.ratios if ratio * needed >= 1]
            recipes += [
                Recipe(
                    dataset=teacher,
                    n_train=1000,
                    label_noise=0.0,
                    family="mlp",
                    depth=1,
                    activation=teacher.split("-")[2],
                    width=width,
                    weight_decay=0.0,
                    learning_rate=0.03,
                    n_steps=2 * self.n_steps,
                    optimizer="sgd",
                    seed=seed,
                )
                for width in widths
                for seed in range(self.n_student_seeds)
            ]
        return recipes


def _family(task):
    """Architecture family that suits the form of a task's samples."""
    return FAMILIES[load_dataset(task).form]
