"""Where measures come from: references that several records share."""

DINH = "Dinh, Pascanu, Bengio, Bengio (2017). Sharp minima can generalize for deep nets. ICML."
MACKAY = "MacKay (1992). Bayesian interpolation. Neural Computation 4(3)."
TAKEUCHI = (
    "Thomas et al. (2020). On the interplay between noise and curvature and its effect on "
    "optimization and generalization. AISTATS; after Takeuchi (1976)."
)
CHATTERJEE = "Chatterjee (2020). Coherent gradients. ICLR."
RAD = (
    "Rad, Maleki (2020). A scalable estimate of the out-of-sample prediction error via "
    "approximate leave-one-out cross-validation. JRSS B 82(4)."
)
HOAGLIN = (
    "Hoaglin, Welsch (1978). The hat matrix in regression and ANOVA. The American Statistician "
    "32(1)."
)
CRISTIANINI = "Cristianini et al. (2001). On kernel-target alignment. NeurIPS."
CORTES = (
    "Cortes, Mohri, Rostamizadeh (2012). Algorithms for learning kernels based on centered "
    "alignment. JMLR 13."
)
CHO = "Cho, Saul (2009). Kernel methods for deep learning. NeurIPS."
RUDELSON = (
    "Rudelson, Vershynin (2007). Sampling from large matrices: an approach through geometric "
    "functional analysis. Journal of the ACM 54(4)."
)
GAO = (
    "Gao et al. (2017). A theory of multineuronal dimensionality, dynamics and measurement. "
    "bioRxiv 214262."
)
ROY = "Roy, Vetterli (2007). The effective rank: a measure of effective dimensionality. EUSIPCO."
ALAIN = (
    "Alain, Le Roux, Manzagol (2019). Negative eigenvalues of the Hessian in deep neural "
    "networks. arXiv:1902.02366."
)
SAGUN = (
    "Sagun et al. (2017). Empirical analysis of the Hessian of over-parametrized neural "
    "networks. arXiv:1706.04454."
)
SCHRAUDOLPH = (
    "Schraudolph (2002). Fast curvature matrix-vector products for second-order gradient descent. "
    "Neural Computation 14(7)."
)
