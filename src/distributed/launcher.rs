//! The launchers that start a program as several processes, and what they say in its environment.

/// A process among those that a launcher has started, as the launcher says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// The launcher.
    pub by: &'static str,
    /// The number of this process, from 0.
    pub rank: usize,
    /// How many processes there are.
    pub world: usize,
    /// How many of them are on this machine, if it is said.
    pub here: Option<usize>,
    /// The number of this process among those on this machine, from 0, if it is said.
    pub number_here: Option<usize>,
}

/// A launcher, and its variables: the number of a process, how many there are, how many are on its machine, and the
/// number among these.
const LAUNCHERS: [(&str, [&str; 4]); 3] = [
    (
        "Open MPI's mpirun",
        ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"],
    ),
    ("MPICH's mpirun", ["PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS", "MPI_LOCALRANKID"]),
    ("srun", ["SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE", "SLURM_LOCALID"]),
];

impl Launched {
    /// Returns what the environment of this process says; `None` if no launcher has started it.
    pub fn here() -> Option<Self> {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let number = |name: &str| variable(name)?.parse::<usize>().ok();
        let found = LAUNCHERS.iter().find_map(|(by, [rank, world, here, number_here])| {
            let (rank, world) = (number(rank)?, number(world)?);
            Some(Self { by, rank, world, here: number(here), number_here: number(number_here) })
        });
        found.filter(|launched| launched.rank < launched.world)
    }

    /// Returns the number of this process among those on this machine. Where nothing says it, neighbours are taken to be
    /// on one machine.
    pub fn local_rank(&self) -> usize {
        let here = self.here.unwrap_or(self.world).max(1);
        self.number_here.unwrap_or(self.rank % here)
    }

    /// Returns the number of threads for each process: its share of the machine's `cores`, as far as it is `allowed` to
    /// use them. A launcher may bind several processes to the same cores.
    pub fn threads(&self, allowed: usize, cores: usize) -> usize {
        let here = self.here.unwrap_or(self.world).max(1);
        allowed.min((cores / here).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launched(variables: &[(&str, &str)]) -> Option<Launched> {
        Launched::of(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn each_launcher_is_known_by_its_variables() {
        let open_mpi = [
            ("OMPI_COMM_WORLD_RANK", "1"),
            ("OMPI_COMM_WORLD_SIZE", "4"),
            ("OMPI_COMM_WORLD_LOCAL_SIZE", "2"),
            ("OMPI_COMM_WORLD_LOCAL_RANK", "1"),
        ];
        let expected = Launched { by: "Open MPI's mpirun", rank: 1, world: 4, here: Some(2), number_here: Some(1) };
        assert_eq!(launched(&open_mpi), Some(expected));
        let mpich = [("PMI_RANK", "0"), ("PMI_SIZE", "3"), ("MPI_LOCALNRANKS", "3")];
        assert_eq!(launched(&mpich).map(|found| (found.by, found.world)), Some(("MPICH's mpirun", 3)));
        let slurm = [("SLURM_PROCID", "5"), ("SLURM_STEP_NUM_TASKS", "8"), ("SLURM_STEP_TASKS_PER_NODE", "4(x2)")];
        assert_eq!(launched(&slurm), Some(Launched { by: "srun", rank: 5, world: 8, here: None, number_here: None }));
    }

    /// A batch script of Slurm has the number of tasks of the job, and starts one process.
    #[test]
    fn a_plain_process_is_not_launched() {
        assert_eq!(launched(&[]), None);
        assert_eq!(launched(&[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "8")]), None);
        assert_eq!(launched(&[("PMI_RANK", "4"), ("PMI_SIZE", "4")]), None);
    }

    #[test]
    fn cores_are_shared_unless_each_process_has_its_own() {
        let two = Launched { by: "srun", rank: 0, world: 8, here: Some(2), number_here: None };
        assert_eq!([two.threads(1, 16), two.threads(16, 16), two.threads(1, 1)], [1, 8, 1]);
        let bound_to_a_socket = Launched { here: Some(8), ..two };
        assert_eq!(bound_to_a_socket.threads(8, 16), 2);
        assert_eq!(Launched { here: None, ..two }.threads(4, 4), 1);
    }

    #[test]
    fn a_process_has_a_number_among_those_on_its_machine() {
        let variables = [("PMI_RANK", "5"), ("PMI_SIZE", "8"), ("MPI_LOCALNRANKS", "2"), ("MPI_LOCALRANKID", "0")];
        assert_eq!(launched(&variables).map(|found| found.local_rank()), Some(0));
        // By its rank where the launcher does not say it.
        assert_eq!(launched(&variables[..3]).map(|found| found.local_rank()), Some(1));
        assert_eq!(launched(&variables[..2]).map(|found| found.local_rank()), Some(5));
    }
}
