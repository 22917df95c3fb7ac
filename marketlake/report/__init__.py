"""What a person looks at: the live terminal view and the HTML report."""
