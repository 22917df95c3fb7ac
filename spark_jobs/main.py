"""Entry for spark-submit: ``spark-submit spark_jobs/main.py JOB …``, the same as ``marketlake``."""

from spark_jobs.cli import main

if __name__ == "__main__":
    main()
